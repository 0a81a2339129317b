"""Where the link's bytes go: into a simulation in this process, or to a serial port."""
from __future__ import annotations

import errno
import os
from pathlib import Path
import select
import time
from typing import Protocol

import serial

from ..errors import DeviceError
from .model import SLICE, Model

__all__ = ["Serial", "Simulated", "Transport"]


class Transport(Protocol):
    """Bytes to and from a device.

    Attributes
    ----------
    name
        For messages.
    patience
        Seconds of waiting per second the device should need.
    """
    name: str
    patience: float

    @property
    def cycles(self) -> int | None:
        """Clock cycles simulated since reset, :data:`None` where nothing is."""

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""

    def read(self, timeout: float) -> bytes:
        """What has arrived, at least one byte, or nothing after ``timeout`` seconds of the device's time."""

    def drain(self) -> None:
        """Forget what has arrived."""

    def close(self) -> None:
        """Let go of the device."""


class Simulated:
    """A Verilated device in this process, bytes straight into its frame layer; time is the device's clock.

    Parameters
    ----------
    path
        Library of :mod:`mantissa.sim_tb.device`.
    clock_hz
        Clock that timeouts are converted with.
    """
    def __init__(self, path: Path, clock_hz: int) -> None:
        self.name = "simulated device"
        self.patience = 1.0
        self.model = Model(path)
        self._clock_hz = clock_hz

    @property
    def cycles(self) -> int | None:
        return self.model.cycles

    def write(self, data: bytes) -> None:
        self.model.write(data)

    def read(self, timeout: float) -> bytes:
        left = max(1, int(timeout * self._clock_hz))
        while left > 0:
            left -= self.model.run(min(SLICE, left))
            data = self.model.read()
            if data:
                return data
        return b""

    def drain(self) -> None:
        self.model.read()

    def close(self) -> None:
        self.model.close()


def _open(port: str, baud: int) -> serial.Serial:
    try:
        return serial.Serial(port, baud, timeout=0, write_timeout=10, exclusive=True)
    except (serial.SerialException, OSError, ValueError) as error:
        code = getattr(error, "errno", None)
        if code in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
            raise DeviceError(f"Port must exist, and {port} does not") from None
        if code in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in str(error):
            raise DeviceError(f"Port must be free, and {port} is used by another program") from None
        if code in (errno.EACCES, errno.EPERM):
            raise DeviceError(f"Port must be yours to open, and {port} is not: its group is usually dialout") from None
        raise DeviceError(f"Port must be a serial port that can do {baud} baud, and {port} is not: {error}") from None


class Serial:
    """A serial port, ours alone.

    Parameters
    ----------
    port
        Its name, ``/dev/ttyUSB0``.
    baud
        Bits a second.
    patience
        More than 1 for a device slower than it says it is, as a simulation is.

    Raises
    ------
    DeviceError
        If it is missing, in use, or not ours to use.
    """
    def __init__(self, port: str, baud: int, *, patience: float = 1.0) -> None:
        self.name = port
        self.patience = patience
        self._port = _open(port, baud)
        try:
            self._port.set_low_latency_mode(True)
        except (OSError, ValueError, NotImplementedError):
            pass                      # not every driver has one, and it only costs time

    @property
    def cycles(self) -> int | None:
        return None

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except serial.SerialTimeoutException:
            raise DeviceError(f"Device on {self.name} must take what it is sent, and did not for 10 s") from None
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from None

    def read(self, timeout: float) -> bytes:
        try:
            ready, _, _ = select.select([self._port.fileno()], [], [], timeout * self.patience)
            if not ready:
                return b""
            data = os.read(self._port.fileno(), SLICE)
        except (serial.SerialException, OSError, ValueError) as error:
            raise self._lost(error) from None
        if not data:
            raise self._lost("end of file")
        return data

    def drain(self) -> None:
        quiet = time.monotonic() + 1
        while time.monotonic() < quiet and self.read(0.02 / self.patience):
            pass

    def close(self) -> None:
        self._port.close()

    def _lost(self, why: object) -> DeviceError:
        return DeviceError(f"Device on {self.name} must stay connected, and was lost: {why}")
