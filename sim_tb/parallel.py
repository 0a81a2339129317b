"""Several at a time: while one process compiles, another runs."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
import multiprocessing
import os
import signal
import sys
from typing import TypeVar

__all__ = ["JOBS", "outcomes", "stoppable", "within"]

A = TypeVar("A")
B = TypeVar("B")

JOBS = min(2, os.cpu_count() or 1)
"""Processes unless said otherwise."""


def outcomes(function: Callable[[A], B], items: Sequence[A], jobs: int) -> Iterator[B]:
    """``function`` of each item, as they are done; in this process if ``jobs`` is 1 or there is one item."""
    if jobs < 1:
        raise ValueError(f"Jobs must be at least 1, not {jobs}")
    if jobs == 1 or len(items) < 2:
        yield from map(function, items)
        return
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(items)), _quiet) as pool:
        yield from pool.imap_unordered(function, items)


@contextmanager
def stoppable() -> Iterator[None]:
    """A request to terminate is an interrupt, so that what was done can be said."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """An error after so many seconds, in the main thread of a process; a call into a library is waited for.

    Raises
    ------
    TimeoutError
        With the seconds.
    """
    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"not done after {seconds:g} s")
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _quiet() -> None:
    """An interrupt is for the process that started this one, which ends it and what it has started."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
