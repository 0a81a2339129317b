"""Progress bars, for what turns out to take more than two seconds."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
import subprocess
import time
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["Bar", "patiently", "track"]

T = TypeVar("T")
PATIENCE = 2.0


class Bar:
    """A bar on standard error, if that is a terminal, once two seconds have passed. A context manager.

    Parameters
    ----------
    total
        Steps there will be.
    text
        What takes so long.
    """
    def __init__(self, total: int, text: str) -> None:
        self._total, self._text = total, text
        self._console = Console(stderr=True)
        self._start = time.monotonic()
        self._done = 0
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        if self._bar is None and self._console.is_terminal and time.monotonic() - self._start > PATIENCE:
            self._bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                                 console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._text, total=self._total)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def track(items: Iterable[T], total: int, text: str) -> Iterator[T]:
    """The items, with a :class:`Bar`."""
    with Bar(total, text) as bar:
        for item in items:
            yield item
            bar.step()


def patiently(command: list[str], text: str) -> subprocess.CompletedProcess[str]:
    """Run a command, with a spinner once two seconds have passed; its output is captured."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            with Console(stderr=True).status(text):
                out, err = process.communicate()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
