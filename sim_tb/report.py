"""Dated markdown reports of long commands."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

__all__ = ["markdown", "write_report"]


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table whose first column is text and whose others are numbers."""
    return [f"| {' | '.join(headings)} |", f"| --- |{' ---: |' * (len(headings) - 1)}", *(f"| {' | '.join(row)} |" for row in rows)]


def write_report(path: Path, title: str, command: str, seconds: float, lines: Iterable[str], failures: Sequence[str]) -> None:
    """Write what a command found: when, how long it took, its lines, and what failed."""
    outcome = [f"* {failure}" for failure in failures] or ["Nothing failed."]
    text = [f"# {title}", "", f"{date.today().isoformat()}: `{command}`, {seconds:.0f} s", "", *lines, "", "## Failures", "", *outcome]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(text) + "\n")
