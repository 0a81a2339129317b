"""Compiled Verilog against the golden function: every input there is, or a million drawn ones."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
import re
import time

from amaranth.lib import data
import numpy as np

from ..design import Design, Streams
from ..gen.designs import verilog_of
from ..hw.payload import Words, bits, count, enumerate_all, pack, unpack
from .models import library_of
from .paths import paths
from .simulate import STALLS, layouts_of
from .verilator import Harness, Run, WrongError

__all__ = ["ENUMERABLE", "Cases", "compare", "drawn", "every", "harness", "measure", "mess", "run_cases"]

ENUMERABLE = 24
"""Input bits up to which every input is tried."""

CHUNK = 1 << 18

LONG = 1 << 16
"""Transactions of a run of a stateless design, at least, if there are to be as many: a run has a cost of its own."""


@dataclass(frozen=True, kw_only=True)
class Cases:
    """How much was compared: output transactions, those given to the input that had the most, whether they are all, outputs a second."""
    count: int
    given: int
    exhaustive: bool
    rate: float
    seconds: float


def harness(design: Design, *, folder: Path, optimize: int = 1, fast: bool = False) -> Harness:
    """Compiled harness of the design's Verilog, with models of the cells it instantiates.

    With ``fast``, one for runs without stalls that evaluates the design once a cycle, if it instantiates no cells with a clock and no
    output sees what is offered in the same cycle; the usual one otherwise.
    """
    inputs, outputs = layouts_of(design)
    verilog, models = verilog_of(design), [path.read_text() for path in library_of(design)]
    if fast:
        models = [text for text in models if any(re.search(rf"\b{cell}\b", verilog) for cell in re.findall(r"^module (\w+)", text, re.M))]
        fast = "@(posedge clk)" in verilog and not any("posedge" in text for text in models)
        fast = fast and not any(start.endswith((".valid", ".payload")) for start in paths(design.component(), library=library_of(design)))
    return Harness("\n".join([verilog, *models]), design.name, inputs, outputs, folder=folder, optimize=optimize, every_edge=fast)


def run_cases(design: Design, model: Harness, *, least: int = 1_000_000, stall: str = "none", seed: int = 0,
              whole: bool = False) -> Cases:
    """Compare the model with the golden function on all inputs of a small stateless design; of others, drawn, until ``least`` went in or
    came out.

    A stateless design of up to 24 input bits is enumerated if that takes ``least`` or fewer, or if it is to be verified ``whole``.

    Raises
    ------
    AssertionError
        At the first transaction that differs, or if nothing was compared.
    """
    start, spent, total, given = time.monotonic(), 0.0, 0, 0
    whole = design.stateless and bits(model.inputs) <= ENUMERABLE and (whole or 1 << bits(model.inputs) <= max(least, 1 << 12))
    batches = every(model.inputs) if whole else drawn(design, model.inputs, seed, min(least, LONG))
    for n, (raw, streams) in enumerate(batches):
        answer = design.golden(streams)
        want = {port: pack(layout, answer[port]) for port, layout in model.outputs.items()}
        begin = time.monotonic()
        compare(model, raw, want, streams, stall=stall, seed=seed + n)
        spent += time.monotonic() - begin
        total += sum(len(rows) for rows in want.values())
        given += max(len(rows) for rows in raw.values())
        if not whole and total and max(total, given) >= least:
            break
        if n == 3 and not total:
            break
    if not total:
        raise AssertionError(f"{design.name}: no case was compared")
    return Cases(count=total, given=given, exhaustive=whole, rate=total / max(spent, 1e-9), seconds=time.monotonic() - start)


def every(inputs: Mapping[str, data.Layout]) -> Iterator[tuple[dict[str, Words], Streams]]:
    """All inputs there are of a design with one input stream, in chunks: raw payloads and transactions."""
    (port, layout), = inputs.items()
    stop = 1 << bits(inputs)
    for start in range(0, stop, CHUNK):
        raw = enumerate_all(layout, start, min(start + CHUNK, stop))
        yield {port: raw}, {port: unpack(layout, raw)}


def drawn(design: Design, inputs: Mapping[str, data.Layout], seed: int, rows: int = 1) -> Iterator[tuple[dict[str, Words], Streams]]:
    """Stimuli without end: raw payloads and transactions. Of a stateless design, so many after one another that there are ``rows``."""
    while True:
        parts = [design.stimulus(np.random.default_rng(seed))]
        while design.stateless and 0 < max(map(count, parts[0].values())) * len(parts) < rows:
            parts.append(design.stimulus(np.random.default_rng(seed + len(parts))))
        seed += len(parts)
        streams = {port: {name: np.concatenate([part[port][name] for part in parts]) for name in parts[0][port]} for port in parts[0]}
        yield {port: pack(layout, streams[port]) for port, layout in inputs.items()}, streams


def compare(model: Harness, raw: Mapping[str, Words], want: Mapping[str, Words], streams: Streams, *, stall: str, seed: int) -> Run:
    """Run the model on ``raw``, which ``streams`` pack to, and refuse outputs that are not what the golden function says.

    With stalls, a reset after some cycles of use comes first.

    Raises
    ------
    AssertionError
        With the first transaction that differs.
    """
    counts = {port: len(rows) for port, rows in want.items()}
    try:
        return model.run(raw, counts, want=want, stall=stall, seed=seed, before=mess(stall, seed))
    except WrongError as wrong:
        port, n = wrong.port, wrong.index
        got, golden = (unpack(model.outputs[port], rows) for rows in (wrong.got, want[port][n:n + 1]))
        fields = [field for field in got if (got[field] != golden[field]).any()]
        cause = {source: {field: column[n].tolist() for field, column in rows.items()}
                 for source, rows in streams.items() if n < count(rows)}
        raise AssertionError(f"{model.top}: transaction {n} of {port} has {({f: got[f][0].tolist() for f in fields})}, golden says "
                             f"{({f: golden[f][0].tolist() for f in fields})}; transaction {n} of the inputs is {cause}") from None


def mess(stall: str, seed: int) -> int:
    """Cycles of use that a reset ends before a run: none without stalls, else up to 300, one time in four up to 3,000."""
    return 0 if stall == "none" else 1 + (seed + 1) * 7919 % (3000 if seed % 4 == 3 else 300)


def measure(design: Design, model: Harness, seed: int = 0) -> dict[str, object]:
    """Latency and throughput without stalls, of the output with the most transactions."""
    streams = design.stimulus(np.random.default_rng(seed))
    golden = design.golden(streams)
    result = model.run({port: pack(layout, streams[port]) for port, layout in model.inputs.items()},
                       {port: count(golden[port]) for port in model.outputs})
    port = max(model.outputs, key=lambda name: count(golden[name]))
    return {"port": port, "latency": result.latency[port], "throughput": result.throughput[port], "cycles": result.cycles}


assert STALLS == ("none", "random", "bursty"), "harness.cpp numbers the stall patterns in this order"
