"""The report of a build, for people."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from .bitstream import Bitstream

__all__ = ["markdown", "show", "steps"]


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [header, ("---",) + ("--:",) * (len(header) - 1), *rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def _tables(summary: Mapping[str, Any]) -> list[str]:
    cells = [(kind, str(used), str(available), f"{100 * used / available:.0f} %") for kind, (used, available) in summary["cells"].items()]
    clocks = [(f"`{clock}`", f"{entry['mhz']:.1f}", f"{entry['constraint_mhz']:g}") for clock, entry in summary["clocks"].items()]
    kinds = list(summary["cells"])
    parts = [(f"`{part}`", *(str(counts.get(kind, 0)) for kind in kinds)) for part, counts in summary["parts"].items()]
    seconds = [(step, f"{time:.1f}") for step, time in summary["seconds"].items()]
    return [*_table(("cells", "used", "available", "share"), cells), *_table(("clock", "MHz", "required"), clocks),
            *_table(("part", *kinds), parts), *_table(("step", "seconds"), seconds)]


def _path(critical: Mapping[str, Any]) -> list[str]:
    if not critical:
        return []
    return [f"Slowest path: `{critical['from']}` to `{critical['to']}`, {len(critical['nets'])} wires, "
            f"{critical['logic_ns']} ns in cells and {critical['routing_ns']} ns in wires.", ""]


def markdown(summary: Mapping[str, Any]) -> str:
    """``report.md`` from what is in ``report.json``."""
    lines = [f"# {summary['name']} on {summary['board']}", "",
             f"{summary['part']}, identity `{summary['identity']}`, seed {summary['seed']}.", "",
             *_tables(summary), *_path(summary["critical"]), "![placement](placement.png)", "", "Tools:", ""]
    lines += [f"* {name}: {version}" for name, version in summary["tools"].items()]
    lines += ["", "Synthesis:", "", *(f"    {line}" for line in summary["recipe"])]
    return "\n".join(lines) + "\n"


def show(result: Bitstream, console: Console | None = None) -> None:
    """Print the tables, and where the files are."""
    console = console or Console()
    console.print(Markdown("\n".join(_tables(result.report))))
    console.print(f"{result.file}{' (as built before)' if result.cached else ''}", soft_wrap=True, markup=False, highlight=False)
    console.print(f"identity {result.report['identity']}; report and picture of the placement beside it", highlight=False)


@contextmanager
def steps(title: str) -> Iterator[Callable[[str], None]]:
    """Spinner with the step under way on standard error, and a line for each; lines alone where it is not a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(file=sys.stderr)
    console.print(title)
    if not console.is_terminal:
        yield lambda step: console.print(f"  {step}")
        return
    with Progress(*columns, console=console) as progress:
        current: list[Any] = []

        def start(step: str) -> None:
            finish()
            current.append(progress.add_task(step, total=1))

        def finish() -> None:
            while current:
                progress.update(current.pop(), completed=1)
        yield start
        finish()
