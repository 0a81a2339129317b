"""A simulated device behind a pseudo-terminal: its clock runs while there is something to do, and stops while there is not."""
from __future__ import annotations

import os
from pathlib import Path
import select
import signal
import sys
import tty

from ..sw_driver.model import SLICE, Model

__all__ = ["Bridge", "serve"]

LINGER = 1 << 18
"""Cycles simulated after the last byte, so that the device's own timeouts pass."""

PATIENCE = 1 << 27
"""Cycles simulated after the last byte while a request has no reply: more than a WAIT may take."""


class Bridge:
    """Moves bytes between a pseudo-terminal and a model.

    Parameters
    ----------
    model
        Simulated device.

    Attributes
    ----------
    name
        The terminal to open.
    """
    def __init__(self, model: Model) -> None:
        self._model = model
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.name = os.ttyname(self._slave)
        self._out = b""
        self._last = model.cycles
        self._waiting = False         # a request has no reply

    def close(self) -> None:
        """Hang up."""
        os.close(self._master)
        os.close(self._slave)

    @property
    def idle(self) -> bool:
        """Whether time would pass for nothing."""
        quiet = self._model.cycles - self._last
        return not self._model.busy and quiet >= (PATIENCE if self._waiting else LINGER)

    def step(self, also: int) -> bool:
        """Move what bytes there are, simulate a little; sleeps if idle. Whether file ``also`` is readable."""
        blocked = bool(self._out)
        timeout = None if blocked or self.idle else 0.0
        readable, writable, _ = select.select([self._master, also], [self._master] if blocked else [], [], timeout)
        if self._master in readable:
            self._take(os.read(self._master, 4096))
        if self._master in writable:
            self._give()
        if not self._out and not self.idle:
            self._model.run(SLICE)
            self._out = self._model.read()
            if self._out:
                self._last = self._model.cycles
                self._waiting = self._waiting and not self._out.endswith(b"\0")
                self._give()
        return also in readable

    def _take(self, data: bytes) -> None:
        self._model.write(data)
        self._last = self._model.cycles
        if data.strip(b"\0"):
            self._waiting = True

    def _give(self) -> None:
        try:
            self._out = self._out[os.write(self._master, self._out):]
        except BlockingIOError:
            pass


def serve(path: Path) -> int:
    """Simulate the device in library ``path`` until standard input ends.

    Prints the terminal's name, and for each line read the cycles simulated so far.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    model = Model(path)
    bridge = Bridge(model)
    print(bridge.name, flush=True)
    stdin = sys.stdin.fileno()
    while True:
        if bridge.step(stdin):
            lines = os.read(stdin, 4096)
            if not lines:
                break
            for _ in range(lines.count(b"\n")):
                print(model.cycles, flush=True)
    bridge.close()
    model.close()
    return 0
