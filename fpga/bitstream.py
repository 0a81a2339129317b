"""From a configuration to the file a board is loaded with, timing closed, and a report.

    python -m mantissa.fpga.bitstream CONFIG [--seeds N]
"""
from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
import hashlib
import json
from pathlib import Path
import shutil
import sys
import time
from typing import Any

from amaranth.back import verilog

from ..config import Config, identity, load
from ..errors import MantissaError
from . import tools
from .board import Board, board as board_of
from .picture import draw, parts
from .place import critical, estimate, fmax, place, read, route
from .report import markdown
from .sdram_pads import DELAY
from .synth import Recipe, synthesise
from .top import Top

__all__ = ["Bitstream", "bitstream", "build", "built", "main", "recipe_of"]

STORE = Path("build/fpga")
OUTPUT = Path("build/bitstream")
SEEDS = range(1, 9)
PROMISING = 0.95
"""Share of the frequency asked for that a placement must be expected to reach to be routed at once: routing does better than expected."""

Progress = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Bitstream:
    """A finished build.

    Parameters
    ----------
    file
        What the board is loaded with: ``.bit`` or ``.bin``.
    report
        Contents of ``report.json`` beside it; ``report.md`` and ``placement.png`` are there too.
    cached
        Whether it was there already.
    """
    file: Path
    report: Mapping[str, Any]
    cached: bool


def recipe_of(board: Board) -> Recipe:
    """Synthesis for a board. The accelerator never uses what it reads where it writes, nor what memories hold before it writes them."""
    return Recipe(family=board.family, read_write_check=False, forget_memory=True)


def _target(config: Config) -> Board:
    if config.board == "sim":
        raise MantissaError(f"Configuration {config.name} must name a board to make a bitstream, not 'sim'")
    return board_of(config.board)


def _flow_digest() -> str:
    here = Path(__file__).parent
    return tools.digest(*(path.read_bytes() for path in sorted(here.glob("*.py"))))


def _tools_of(family: str) -> dict[str, str]:
    names = ("yosys", "nextpnr-ecp5", "ecppack") if family == "ecp5" else ("yosys", "nextpnr-ice40", "icepack")
    return {name: tools.version(name) for name in names}


def _key(config: Config, board: Board) -> str:
    # not the seeds: whichever closes the timing will do
    return tools.digest("bitstream 1", identity(config).hex(), asdict(config), asdict(board), _flow_digest(), _tools_of(board.family))


def _folder(config: Config, board: Board, output: Path) -> Path:
    return output / f"{config.name}-{_key(config, board)}"


def _opened(folder: Path, cached: bool) -> Bitstream:
    report = json.loads((folder / "report.json").read_text())
    return Bitstream(file=folder / report["file"], report=report, cached=cached)


def built(config: Config, *, output: Path = OUTPUT) -> Bitstream | None:
    """The build of a configuration with the sources and tools as they are now, if there is one."""
    board = _target(config)
    folder = _folder(config, board, output)
    return _opened(folder, True) if folder.is_dir() else None


def bitstream(config: Config, *, seeds: Iterable[int] = SEEDS, output: Path = OUTPUT, store: Path = STORE,
              progress: Progress = lambda step: None) -> Bitstream:
    """Bitstream of the accelerator of ``config`` on its board.

    Seeds are placed in order, and one whose estimate comes near the timing is routed at once; when none is left, the others are
    routed, best estimate first, until timing closes. Nothing is done if the build is there already.

    Parameters
    ----------
    config
        Must name a board.
    seeds
        Placer's seeds to try.
    output
        Where the build goes, in a folder of its own by digest of everything it was made from.
    store
        Where netlists and placements are kept.
    progress
        Called with the name of each step as it starts.

    Raises
    ------
    MantissaError
        If the board is unknown, its PLL can not make the clock, a tool is missing or fails (as it does where the design does not
        fit), or timing does not close.
    """
    from ..hw.accelerator import Accelerator
    board, seeds = _target(config), tuple(seeds)
    if not seeds:
        raise MantissaError("Seeds must be at least one, not none")
    folder = _folder(config, board, output)
    if folder.is_dir():
        return _opened(folder, True)
    _tools_of(board.family)
    name = identity(config)

    def make(work: Path) -> None:
        top = Top(board, clock_hz=config.clock_hz, baud=config.baud, device=Accelerator(config, name, delay=DELAY))
        build(top, work, name=config.name, identity=name, seeds=seeds, store=store, progress=progress)
    return _opened(tools.cached(output, folder.name, make), False)


def build(top: Top, folder: Path, *, name: str, identity: bytes, seeds: Iterable[int], store: Path,
          progress: Progress = lambda step: None) -> None:
    """Build ``top`` into ``folder``: bitstream, reports, logs and picture."""
    board, seconds = top.board, {}

    def step(title: str, work: Callable[[], Any]) -> Any:
        progress(title)
        start = time.monotonic()
        result = work()
        seconds[title] = round(time.monotonic() - start, 1)
        return result

    text = step("Verilog", lambda: verilog.convert(top, name="top", emit_src=False))
    recipe = recipe_of(board)
    netlist = step("synthesis", lambda: synthesise(text, "top", recipe, store=store))
    placed, seed = _close(top, netlist, seeds, store, step)
    report = read(placed)
    file = step("packing", lambda: _pack(board, placed, folder, name))
    for log in (netlist.parent / "synth.log", placed / "route.log"):
        shutil.copy(log, folder)
    (folder / "top.v").write_text(text)
    summary = {
        "name": name, "board": board.name, "part": board.part, "identity": identity.hex(), "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "clock_hz": top.clock_hz, "seed": seed,
        "clocks": {clock: {"mhz": round(reached, 2), "constraint_mhz": round(asked, 2)}
                   for clock, (reached, asked) in fmax(report).items()},
        "critical": critical(report),
        "cells": {kind: [report["utilization"][kind]["used"], report["utilization"][kind]["available"]] for kind in board.capacity},
        "parts": parts(placed / "placed.json"), "recipe": recipe.script("top").splitlines(), "tools": _tools_of(board.family),
    }
    title = f"{name} on {board.title}: " + ", ".join(f"{entry['mhz']:.1f} MHz" for entry in summary["clocks"].values())
    summary["cells_drawn"] = step("picture", lambda: draw(placed / "placed.json", folder / "placement.png", grid=board.grid, title=title))
    summary["seconds"] = seconds
    (folder / "report.json").write_text(json.dumps(summary, indent=1) + "\n")
    (folder / "report.md").write_text(markdown(summary))


def _close(top: Top, netlist: Path, seeds: Iterable[int], store: Path, step: Callable[[str, Callable[[], Any]], Any]) -> tuple[Path, int]:
    """Placement of the first seed that meets every clock, and the seed."""
    board, tried = top.board, []
    output = {"ecp5": "top.config", "ice40": "top.asc"}[board.family]
    name, text = top.constraints()
    arguments = [*board.place, "--lpf" if board.family == "ecp5" else "--pcf", name, "--freq", f"{top.clock_hz / 1e6:g}"]
    later: list[tuple[float, int, Path]] = []

    def closes(seed: int, placed: Path) -> Path | None:
        routed = step(f"routing, seed {seed}", lambda: route(
            placed, board.family, arguments, store=store, files={name: text}, output=output))
        clocks = fmax(read(routed))
        if all(reached >= asked for reached, asked in clocks.values()):
            return routed
        tried.append((*min(clocks.values(), key=lambda clock: clock[0] / clock[1]), critical(read(routed))))
        return None

    for seed in seeds:
        placed = step(f"placement, seed {seed}", lambda seed=seed: place(
            netlist, board.family, arguments, seed=seed, store=store, files={name: text}, routed=False))
        ratio = min((reached / asked for reached, asked in estimate(placed).values()), default=1.0)
        if ratio < PROMISING:
            later.append((-ratio, seed, placed))
        elif routed := closes(seed, placed):
            return routed, seed
    for _, seed, placed in sorted(later):
        if routed := closes(seed, placed):
            return routed, seed
    reached, asked, path = max(tried, key=lambda clock: clock[0] / clock[1])
    ends = f" (from {path['from']} to {path['to']})" if path else ""
    raise MantissaError(f"Timing must close at {asked:g} MHz on {board.name}, and the best of {len(tried)} seeds reaches "
                        f"{reached:.1f} MHz{ends}")


def _pack(board: Board, placed: Path, folder: Path, name: str) -> Path:
    if board.family == "ecp5":
        shutil.copy(placed / "top.config", folder)
        tools.run("ecppack", ["--compress", "top.config", f"{name}.bit"], folder)
        (folder / "top.config").unlink()
        return folder / f"{name}.bit"
    shutil.copy(placed / "top.asc", folder)
    tools.run("icepack", ["top.asc", f"{name}.bin"], folder)
    (folder / "top.asc").unlink()
    return folder / f"{name}.bin"


def main(config: str | Path | Config, seeds: int = len(SEEDS)) -> Bitstream:
    """Build with the steps shown, and print where it is and what it takes."""
    from .report import show, steps
    config = config if isinstance(config, Config) else load(config)
    with steps(f"Bitstream of {config.name}") as progress:
        result = bitstream(config, seeds=range(1, seeds + 1), progress=progress)
    show(result)
    return result


def _command_line(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mantissa.fpga.bitstream", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG", help="built-in configuration, or a .toml file")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    args = parser.parse_args(argv)
    try:
        main(args.config, args.seeds)
    except MantissaError as error:
        print(f"mantissa bitstream: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_command_line())
