"""Runs commands in the repository's own environment, which it makes on first use.

    python3 bootstrap.py EXTRAS -- command ... [-- command ...]

EXTRAS is a comma-separated list of the extras of ``pyproject.toml`` the commands need. The environment
is ``.venv`` (or ``$MANTISSA_VENV``); it is made again when ``pyproject.toml`` or the interpreter changes,
and grown when an extra is missing. Commands run one after the other until one fails.
"""
from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import venv

ROOT = Path(__file__).resolve().parent
HOME = Path(os.environ.get("MANTISSA_VENV", ROOT / ".venv")).absolute()
STAMP = HOME / "mantissa.json"
LEAST = (3, 11)


def digest() -> str:
    """What the environment depends on."""
    parts = [(ROOT / "pyproject.toml").read_bytes(), sys.version.encode(), os.fsencode(sys.base_prefix), os.fsencode(ROOT)]
    return hashlib.blake2s(b"\0".join(parts)).hexdigest()


def installed() -> set[str]:
    """Extras the environment has, the empty one standing for the package itself; nothing if it is out of date."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return set()
    return set(stamp["extras"]) if stamp["digest"] == digest() and (HOME / "bin" / "python").exists() else set()


def install(extras: set[str]) -> None:
    """Make the environment have ``extras``."""
    STAMP.unlink(missing_ok=True)
    python = HOME / "bin" / "python"
    if not python.exists() or subprocess.run([python, "-c", "import pip"], capture_output=True).returncode:
        shutil.rmtree(HOME, ignore_errors=True)
        print(f"making {HOME}", file=sys.stderr)
        venv.create(HOME, with_pip=True, symlinks=True)
    names = ",".join(sorted(extras - {""}))
    print(f"installing mantissa[{names}] in {HOME}", file=sys.stderr)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", f"{ROOT}[{names}]"], check=True)
    STAMP.write_text(json.dumps({"digest": digest(), "extras": sorted(extras)}))


def ensure(extras: set[str]) -> None:
    """Install what is missing, once even if several of us start together."""
    if extras <= installed():
        return
    HOME.parent.mkdir(parents=True, exist_ok=True)
    with HOME.with_name(HOME.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        have = installed()
        if not extras <= have:
            install(have | extras)


def commands(arguments: list[str]) -> list[list[str]]:
    """Arguments split at every ``--``."""
    out: list[list[str]] = [[]]
    for word in arguments:
        if word == "--":
            out.append([])
        else:
            out[-1].append(word)
    return [command for command in out if command]


def main() -> int:
    if sys.version_info < LEAST:
        print(f"Python must be {LEAST[0]}.{LEAST[1]} or newer, not {sys.version.split()[0]}", file=sys.stderr)
        return 2
    if len(sys.argv) < 4 or sys.argv[2] != "--":
        print(__doc__, file=sys.stderr)
        return 2
    try:
        ensure({"", *sys.argv[1].split(",")})
    except subprocess.CalledProcessError as error:
        print(f"Environment {HOME} could not be made: {Path(error.cmd[0]).name} ended with {error.returncode}", file=sys.stderr)
        return 1
    os.environ["PATH"] = f"{HOME / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ["VIRTUAL_ENV"] = str(HOME)
    todo = commands(sys.argv[3:])
    for command in todo[:-1]:
        code = subprocess.run(command).returncode
        if code:
            return code
    sys.stdout.flush()
    os.execvp(todo[-1][0], todo[-1])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
