"""Finding, or having built, the simulated device of a configuration, in a process of its own that may import what this one must not."""
from __future__ import annotations

from pathlib import Path
import subprocess
import sys

from ..errors import DeviceError
from .progress import patiently
from .transport import Serial

__all__ = ["Served", "library"]

MODULE = "mantissa.sim_tb.device"


def library(config: str, *, uart: bool = False) -> Path:
    """Path of the simulated device of a configuration, compiled on first use.

    Raises
    ------
    DeviceError
        If it can not be built here.
    """
    command = [sys.executable, "-m", MODULE, "--config", config, *["--uart"] * uart]
    done = patiently(command, f"building the simulated device {config!r}, once")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"{MODULE} ended with {done.returncode}"]
        raise DeviceError(lines[-1])
    return Path(done.stdout.strip())


class Served(Serial):
    """A simulated device with a UART, behind a pseudo-terminal in a process of its own, by way of a serial port.

    Parameters
    ----------
    path
        Library of the device.
    baud
        Bits a second, of the device's time.
    """
    def __init__(self, path: Path, baud: int) -> None:
        command = [sys.executable, "-m", MODULE, "--serve", str(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            port = self._line()
            super().__init__(port, baud, patience=200)
        except BaseException:
            self._stop()
            raise
        self.name = "simulated device with a UART"

    @property
    def cycles(self) -> int | None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._line())

    def close(self) -> None:
        super().close()
        self._stop()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise DeviceError(f"Simulated device must keep running, and its process ended with {self._process.wait()}")
        return line

    def _stop(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
