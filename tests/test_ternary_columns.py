# amaranth: UnusedElaboratable=no
"""Ternary matrices column by column: the layout, sums and cycles with columns left out, a memory behind the port, and what is refused."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from amaranth.hdl import Module
from amaranth.sim import Simulator
import numpy as np
import pytest

from mantissa.bitlinear import skip_zeros
from mantissa.design import Design
from mantissa.errors import MantissaError
from mantissa.hw.designs_columns import columns_workload, ternary_columns
from mantissa.hw.payload import pack
from mantissa.hw.ternary_columns import TernaryColumns
from mantissa.sim_tb.exhaustive import harness
from mantissa.sim_tb.simulate import check
from mantissa.ternary import pack_radix3
from mantissa.ternary_columns import column_words, pack_columns, unpack_columns

FOLDER = Path(__file__).parent.parent / "build" / "verify"


def matrix(rows: int, columns: int, zeros: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Trits (N, K) and a vector (K) of which a share is zero."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(columns) < zeros, 0, rng.integers(1, 128, columns) * rng.choice([-1, 1], columns))
    return rng.integers(-1, 2, (rows, columns)).astype(np.int8), x


def word(values: np.ndarray) -> int:
    return int.from_bytes(values.astype(np.uint8).tobytes(), "little")


@pytest.mark.parametrize(("rows", "lanes"), [(1, 1), (10, 2), (11, 2), (23, 4)])
def test_layout(rows: int, lanes: int) -> None:
    """Column by column, the first row lowest, and back."""
    trits, _ = matrix(rows, 7, 0)
    packed = pack_columns(trits, lanes)
    assert packed.shape == (7, column_words(rows, lanes), lanes)
    for k, column in enumerate(packed.reshape(7, -1).tolist()):
        digits = [code // 3 ** n % 3 - 1 for code in column for n in range(5)]
        assert digits[:rows] == trits[:, k].tolist() and not any(digits[rows:])
    assert (unpack_columns(packed, rows) == trits).all()


@pytest.mark.parametrize("skip", [True, False])
def test_golden(skip: bool) -> None:
    """Sums and requests of the golden function against numbers taken one by one."""
    design = ternary_columns(2, words=8, acc_bits=20, address_bits=10, skip=skip)
    trits, x = matrix(43, 30, 0.6)
    x[-1] = 0
    streams = {port: dict(columns) for port, columns in columns_workload(design, 43, [x]).items()}
    wanted = [k for k in range(30) if x[k] or not skip]
    packed = pack_columns(trits, 2)
    streams["i"]["data"] = np.array([word(row) for k in wanted for row in packed[k]])
    streams["i_command"]["address"] = np.array([1000])
    found = design.golden(streams)
    assert found["o"]["sums"].ravel()[:43].tolist() == [sum(int(t) * int(v) for t, v in zip(row, x, strict=True)) for row in trits]
    assert not found["o"]["sums"].ravel()[43:].any()
    assert found["o_read"]["address"].tolist() == [(1000 + 5 * k) % 1024 for k in wanted]
    assert set(found["o_read"]["length"].tolist()) == {4}


def cycles_of(design: Design, rows: int, vectors: list[np.ndarray]) -> int:
    """Of a Verilated run that gives what is right."""
    streams = columns_workload(design, rows, vectors)
    golden, model = design.golden(streams), harness(design, folder=FOLDER, optimize=0)
    want = {port: pack(layout, golden[port]) for port, layout in model.outputs.items()}
    sent = {port: pack(layout, streams[port]) for port, layout in model.inputs.items()}
    return model.run(sent, {port: len(given) for port, given in want.items()}, want=want).cycles


@pytest.mark.parametrize(("rows", "zeros", "end"), [(40, 0.5, 1), (40, 0.5, 0), (20, 0, 1), (75, 0.9, 1), (5, 0.3, 1), (14, 0.5, 0)])
def test_cycles_are_those_of_the_words(rows: int, zeros: float, end: int) -> None:
    """As the docstring has them: a word a cycle, three more for columns of fewer than four, a column's for sums after a zero, or K."""
    design = ternary_columns(1, words=16, acc_bits=20, address_bits=16, cells=False)
    _, x = matrix(rows, 200, zeros)
    x[-1] = end
    words = -(-rows // 5)
    kept = 200 - skip_zeros(x).saved
    least = max(kept * (words + 3 * (words < 4)) + (not end) * words, 200)
    assert least <= cycles_of(design, rows, [x, x]) - cycles_of(design, rows, [x]) <= least + 12


def test_all_columns_take_a_word_a_cycle() -> None:
    design = ternary_columns(1, words=16, acc_bits=20, address_bits=16, skip=False, cells=False)
    x = np.zeros(100, np.int64)
    assert 800 <= cycles_of(design, 40, [x, x]) - cycles_of(design, 40, [x]) <= 812


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_words_are_those_asked_for(lanes: int) -> None:
    """Two matrices in a memory that answers what is asked, and takes its time."""
    dut = TernaryColumns(lanes=lanes, words=64, acc_bits=16, address_bits=12, cells=False)
    layers, store, got = [matrix(37, 25, 0.5, 1), matrix(3, 40, 0.9, 2)], [], []
    starts = []
    for trits, _ in layers:
        starts.append(len(store))
        store += [word(row) for row in pack_columns(trits, lanes).reshape(-1, lanes)]

    async def commands(ctx: Any) -> None:
        for start, (trits, _) in zip(starts, layers, strict=True):
            await send(ctx, dut.i_command, address=start, last_word=column_words(len(trits), lanes) - 1)

    async def activations(ctx: Any) -> None:
        for _, x in layers:
            for k, value in enumerate(x.tolist()):
                await send(ctx, dut.i_x, code=value, last=k == len(x) - 1)

    async def memory(ctx: Any) -> None:
        while True:
            asked = await take(ctx, dut.o_read)
            await ctx.tick().repeat(7)
            for n in range(asked.length + 1):
                await send(ctx, dut.i, data=store[asked.address + n], last=n == asked.length, error=0)

    async def sums(ctx: Any) -> None:
        for trits, x in layers:
            values: list[int] = []
            end = 0
            while not end:
                found = await take(ctx, dut.o)
                values += [found.sums[n] for n in range(5 * lanes)]
                end = found.last
                assert not found.error
            got.append(values)
            assert values[:len(trits)] == (trits.astype(np.int64) @ x).tolist()

    async def send(ctx: Any, port: Any, **fields: int) -> None:
        for name, value in fields.items():
            ctx.set(port.payload[name], value)
        ctx.set(port.valid, 1)
        taken = False
        while not taken:
            _, _, taken = await ctx.tick().sample(port.ready)
        ctx.set(port.valid, 0)

    async def take(ctx: Any, port: Any) -> Any:
        ctx.set(port.ready, 1)
        valid = False
        while not valid:
            _, _, valid, payload = await ctx.tick().sample(port.valid, port.payload)
        ctx.set(port.ready, 0)
        return payload

    top = Module()
    top.submodules.dut = dut
    sim = Simulator(top)
    sim.add_clock(1e-6)
    for process in (commands, activations, memory):
        sim.add_testbench(process, background=True)
    sim.add_testbench(sums)
    sim.run()
    assert len(got) == 2


@pytest.mark.parametrize("lanes", [2, 4])
def test_wider_words(lanes: int) -> None:
    """Bytes that share a ROM, and stalls."""
    assert check(ternary_columns(lanes, words=4, acc_bits=13, address_bits=9), stall="bursty") > 0


REFUSED: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: TernaryColumns(lanes=3), ValueError, "Lanes must be a power of two of at most 16, not 3"),
    (lambda: TernaryColumns(lanes=32), ValueError, "Lanes must be a power of two of at most 16, not 32"),
    (lambda: TernaryColumns(words=2), ValueError, "Words of a column must be an integer of at least 4, not 2"),
    (lambda: TernaryColumns(words=20), ValueError, "Words of a column must be a power of two of at most 65536, not 20"),
    (lambda: TernaryColumns(acc_bits=8), ValueError, "Bits of a sum must be an integer of at least 9, not 8"),
    (lambda: TernaryColumns(address_bits=0), ValueError, "Address bits must be an integer of at least 1, not 0"),
    (lambda: TernaryColumns(skip=1), TypeError, "Skip must be True or False, not 1"),                 # pyright: ignore[reportArgumentType]
    (lambda: TernaryColumns(cells="no"), TypeError, "Cells must be True or False, not 'no'"),         # pyright: ignore[reportArgumentType]
    (lambda: pack_columns(np.zeros(5, np.int8), 1), MantissaError, "Ternary weights must be (N, K), not (5,)"),
    (lambda: pack_columns([[2]], 1), MantissaError, "Weights must be -1, 0 or 1, not 2"),
    (lambda: column_words(5, 0), MantissaError, "Lanes must be an integer from 1 to 1024, not 0"),
    (lambda: unpack_columns(np.zeros((2, 2, 1), np.uint8), 5), MantissaError, "Columns of 5 rows must be (K, words, lanes), not (2, 2, 1)"),
    (lambda: unpack_columns(pack_radix3([[[1] * 5]]), 4), MantissaError, "Columns must be padded with zeros after 4 rows"),
)


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_refused(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message
