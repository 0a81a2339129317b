"""Tables and progress bars of the flow."""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from .cost import Cost

__all__ = ["COLUMNS", "bar", "cells_of", "lines", "markdown", "show", "spread"]

COLUMNS = (("design", "name"), ("LUT-eq", "luteq"), ("LUT", "lut"), ("carry", "carry"), ("LUT-RAM", "lutram"), ("FF", "ff"), ("DSP", "dsp"),
           ("block RAM", "bram"), ("SPRAM", "spram"), ("MHz", "fmax"), ("MAC/cycle", "throughput"),
           ("MMAC/s per LUT", "speed_per_lut"))
"""Title of a column, and which of a design's figures it has."""


def spread(values: Mapping[str, float]) -> str:
    """The value, or the least and the largest if they differ."""
    low, high = (f"{end(values.values()):.3g}" for end in (min, max)) if values else ("-", "-")
    return low if low == high else f"{low} to {high}"


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return spread(value)
    return "-" if value is None else f"{value:.0f}" if isinstance(value, float) else str(value)


def cells_of(costs: Sequence[Cost]) -> tuple[list[str], list[list[str]]]:
    """Header and rows, without the columns nothing has anything in."""
    shown = [(title, name) for title, name in COLUMNS if name in ("name", "luteq", "ff", "dsp") or any(getattr(row, name) for row in costs)]
    return [title for title, _ in shown], [[_cell(getattr(row, name)) for _, name in shown] for row in costs]


def lines(header: Sequence[str], rows: Sequence[Sequence[str]], text: Collection[int] = (0,)) -> list[str]:
    """Lines of a markdown table; columns ``text`` are words, and the others numbers."""
    rules = ["---" if n in text else "--:" for n in range(len(header))]
    return [f"| {' | '.join(cells)} |" for cells in (header, rules, *rows)]


def _notes(costs: Sequence[Cost]) -> list[str]:
    return [f"{row.name} is not placed: {row.note}" for row in costs if row.note]


def markdown(costs: Sequence[Cost], recipe: Sequence[str]) -> str:
    """Markdown table with its recipe."""
    header, rows = cells_of(costs)
    table = lines(header, [[f"`{first}`", *rest] for first, *rest in rows])
    return "".join(f"{line}\n" for line in [*table, "", *recipe, *_notes(costs)])


def show(costs: Sequence[Cost], recipe: Sequence[str], console: Console | None = None) -> None:
    """Print the table with its recipe."""
    console = console or Console(width=None if sys.stdout.isatty() else 200)
    header, rows = cells_of(costs)
    table = Table(box=None, header_style="bold")
    for n, title in enumerate(header):
        table.add_column(title, justify="right" if n else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for line in [*recipe, *_notes(costs)]:
        console.print(line, style="dim", markup=False, highlight=False)


@contextmanager
def bar(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """Progress bar on standard error; yields a function of what was done last, how many steps are, and how many there will be."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[last]}"))
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None, last="")

        def step(last: str, done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, last=last)
        yield step
