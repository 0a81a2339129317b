"""Damaged frames through the host's codec and through the device's link.

    python -m mantissa.sim_tb.link_fuzz [--codec N] [--rtl M] [--seed S] [--build FOLDER]

Prints a table of what became of them and writes it to FOLDER/reports. The exit code is 1 after a violation: data accepted that was not
sent, a request executed other than once, a stream that broke its rules, or a link that did not recover.
"""
from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from random import Random
import sys
import time

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ..frame import Deframer, Frame, Type, encode_frame
from .link_channel import Channel
from .link_host import Host

__all__ = ["Outcome", "codec", "main", "rtl"]

DAMAGED = 0.75


class Outcome:
    """Counts of one campaign, and its violations as sentences."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self.damage: Counter[str] = Counter()
        self.violations: list[str] = []
        self.seconds = 0.0

    @property
    def cases(self) -> int:
        """Frames that were damaged."""
        return sum(count for kind, count in self.damage.items() if kind != "none")


def _random_frame(rng: Random) -> Frame:
    size = rng.choice((0, 1, 4, 6, rng.randrange(64), rng.randrange(300)))
    payload = bytes(size) if rng.random() < 0.1 else rng.randbytes(size)
    return Frame(type=rng.randrange(256), nonce=rng.getrandbits(32), sequence=rng.randrange(256), status=rng.randrange(8), payload=payload)


def codec(cases: int, *, seed: int, advance: Callable[[int], None] = lambda n: None) -> Outcome:
    """``cases`` damaged frames through a :class:`~mantissa.frame.Deframer`: each frame that comes out was sent, in order."""
    outcome, rng, start = Outcome("codec"), Random(seed), time.monotonic()
    channel, deframer = Channel(rng, damage=DAMAGED), Deframer()
    last = Frame(type=Type.HELLO, nonce=0, sequence=0)
    while outcome.cases < cases:
        frames = [_random_frame(rng) for _ in range(50)]
        arriving = bytearray()
        allowed: list[Frame] = []
        before = channel.kinds.total() - channel.kinds["none"]
        for frame in frames:
            coded = encode_frame(frame)
            kind, received = channel.send(coded)
            if kind == "stale":
                allowed.append(last)
            allowed += [frame] * (1 + (kind == "twice"))
            channel.kept, last = [coded], frame
            arriving += bytes(received)
        clean = Frame(type=Type.READ, nonce=rng.getrandbits(32), sequence=rng.randrange(256))
        given = list(deframer.feed(bytes(arriving))) + list(deframer.feed(b"\0" + encode_frame(clean)))
        if not given or given.pop() != clean:
            outcome.violations.append(f"codec: after {outcome.cases} damaged frames a sound one is not received")
        waiting = iter(allowed)
        for frame in given:
            if frame not in waiting:              # a subsequence: consumes what was lost before it
                outcome.violations.append(f"codec: {frame} was received but not sent")
        outcome.counts.update({"frames sent": len(frames) + 1, "frames received": len(given) + 1})
        outcome.damage = channel.kinds
        advance(outcome.cases - before)
    outcome.counts["pieces dropped"] = deframer.dropped
    outcome.seconds = time.monotonic() - start
    return outcome


def rtl(cases: int, *, seed: int, folder: Path, advance: Callable[[int], None] = lambda n: None) -> Outcome:
    """``cases`` damaged frames between a host that retries and the Verilated link with a memory."""
    outcome, rng, start = Outcome("rtl"), Random(seed), time.monotonic()
    host = Host(rng, folder=folder, damage=DAMAGED)
    while outcome.cases < cases and len(outcome.violations) < 20:
        before = outcome.cases
        outcome.violations += host.operate()
        outcome.damage = host.to_device.kinds + host.to_host.kinds
        advance(outcome.cases - before)
    outcome.violations += host.finish()
    outcome.counts, outcome.seconds = host.counts, time.monotonic() - start
    return outcome


def _tables(outcomes: Sequence[Outcome]) -> list[Table]:
    tables = []
    for o in outcomes:
        table = Table(title=f"{o.name}: {o.cases} damaged frames, {len(o.violations)} violations", title_justify="left")
        table.add_column("what")
        table.add_column("count", justify="right")
        for what, count in [*((f"damage: {kind}", n) for kind, n in sorted(o.damage.items())), *sorted(o.counts.items())]:
            table.add_row(what, str(count))
        tables.append(table)
    return tables


def _report(outcomes: Sequence[Outcome], asked: argparse.Namespace) -> str:
    command = f"python -m mantissa.sim_tb.link_fuzz --codec {asked.codec} --rtl {asked.rtl} --seed {asked.seed}"
    lines = ["# Link fuzzing", "", f"{date.today().isoformat()}: `{command}`", ""]
    for o in outcomes:
        lines += [f"## {o.name}: {o.cases} damaged frames, {len(o.violations)} violations, {o.seconds:.0f} s", "",
                  "| what | count |", "| --- | ---: |"]
        lines += [f"| damage: {kind} | {count} |" for kind, count in sorted(o.damage.items())]
        lines += [f"| {what} | {count} |" for what, count in sorted(o.counts.items())]
        lines += ["", *(f"* {sentence}" for sentence in o.violations[:20])]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mantissa.sim_tb.link_fuzz", description="Damaged frames through codec and link.")
    parser.add_argument("--codec", type=int, default=1_000_000, help="damaged frames through the host's codec")
    parser.add_argument("--rtl", type=int, default=100_000, help="damaged frames through the Verilated link")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder of compiled models and reports")
    chosen = parser.parse_args(arguments)
    console, outcomes = Console(), []
    with Progress(console=console) as progress:
        for name, cases in (("codec", chosen.codec), ("rtl", chosen.rtl)):
            if cases > 0:
                task = progress.add_task(name, total=cases)
                options = {"seed": chosen.seed, "advance": lambda n, task=task: progress.advance(task, n)}
                outcomes.append(codec(cases, **options) if name == "codec" else rtl(cases, folder=chosen.build / "sim", **options))
    for table in _tables(outcomes):
        console.print(table)
    violations = [sentence for o in outcomes for sentence in o.violations]
    for sentence in violations[:20]:
        console.print(sentence, style="red")
    reports = chosen.build / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    (reports / "link-fuzz.md").write_text(_report(outcomes, chosen))
    if not sum(o.cases for o in outcomes):
        console.print("Link fuzzing must have at least one case, and had none", style="red")
        return 1
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
