"""Progress bars, for what turns out to take more than two seconds."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
import subprocess
import time
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["patiently", "track"]

T = TypeVar("T")
PATIENCE = 2.0


def track(items: Iterable[T], total: int, text: str) -> Iterator[T]:
    """The items, with a bar on standard error, if that is a terminal, once two seconds have passed."""
    console = Console(stderr=True)
    start, bar, task = time.monotonic(), None, None
    try:
        for done, item in enumerate(items):
            if bar is None and console.is_terminal and time.monotonic() - start > PATIENCE:
                bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                               console=console, transient=True)
                bar.start()
                task = bar.add_task(text, total=total)
            if bar is not None and task is not None:
                bar.update(task, completed=done)
            yield item
    finally:
        if bar is not None:
            bar.stop()


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
