"""Commands that make hardware, and those that list what there is."""
from __future__ import annotations

from pathlib import Path
import time

import click

from .cli_cost import cost
from .errors import MantissaError

__all__ = ["COMMANDS"]


@click.command()
@click.argument("names", nargs=-1, metavar="[DESIGN]...")
@click.option("--config", "-c", metavar="CONFIG", help="An accelerator instead: name of a configuration, or a .toml file.")
@click.option("--uart", is_flag=True, help="With --config: pins of a serial port, not byte streams.")
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("build/gen"), show_default=True, help="Folder to write to.")
def gen(names: tuple[str, ...], config: str | None, uart: bool, output: Path) -> None:
    """Write Verilog, metadata and datasheets: of the DESIGNs named, of all, or of a configuration's accelerator.

    \b
    mantissa gen
    mantissa gen --config ulx3s-85f
    """
    from .gen import accelerator, emit_all
    start = time.monotonic()
    if config is not None:
        from .config import load
        if names:
            raise MantissaError(f"Either designs or a configuration can be generated, not both {names[0]!r} and {config!r}")
        chosen = load(config)
        click.echo(f"wrote {accelerator(chosen, output / chosen.name, uart)} in {time.monotonic() - start:.1f} s")
        return
    from .hw.catalog import CATALOG, find
    from .sw_driver.progress import Bar
    designs = [find(name) for name in names] or list(CATALOG)
    with Bar(len(designs), "generating") as bar:
        emit_all(designs, output, progress=lambda design: bar.step())
    click.echo(f"wrote {len(designs)} designs to {output} in {time.monotonic() - start:.1f} s")


@click.command()
@click.argument("names", nargs=-1, metavar="[DESIGN]...")
@click.option("--full", is_flag=True, help="A million cases where not every input can be tried, and 200 mutants.")
@click.option("--mutants", metavar="N", type=click.IntRange(0), help="Mutants of each design; 0 for none.")
@click.option("--jobs", metavar="N", type=click.IntRange(1), help="Processes.")
@click.option("--limit", metavar="S", type=float, help="Seconds a step may take before it counts as failed.")
@click.option("--report", metavar="FILE", help="Write the table as markdown too.")
def verify(names: tuple[str, ...], full: bool, mutants: int | None, jobs: int | None, limit: float | None, report: str | None) -> int:
    """Hold designs against the golden model: simulated, synthesised, proved, mutated. All of the catalogue without DESIGN.

    What passed is kept, and not done again until the design or what verifies it changes.

    \b
    mantissa verify
    mantissa verify requantize_narrow_half_even --full
    """
    from .sim_tb.verify import main
    options = {"--mutants": mutants, "--jobs": jobs, "--limit": limit, "--report": report}
    given = [str(part) for option, value in options.items() if value is not None for part in (option, value)]
    return main([*names, *["--full"] * full, *given])


@click.command()
@click.argument("config", metavar="BOARD")
@click.option("--seeds", default=8, show_default=True, type=click.IntRange(1), help="Placements to try for the clock.")
def bitstream(config: str, seeds: int) -> None:
    """Build what BOARD is loaded with: a configuration's name, or its .toml file.

    \b
    mantissa bitstream ulx3s-85f
    """
    from .fpga.bitstream import main
    main(config, seeds)


@click.command()
@click.argument("config", metavar="BOARD")
@click.option("--port", metavar="PORT", help="Serial port of the board; by default the one its USB bridge makes.")
@click.option("--keep/--forget", default=None, help="Survive power, or not; by default whichever the board can do faster.")
def flash(config: str, port: str | None, keep: bool | None) -> None:
    """Load BOARD with its bitstream, and read the design's identity back.

    \b
    mantissa flash ulx3s-85f --port /dev/ttyUSB0
    """
    from .fpga.flash import main
    main(config, port, keep)


@click.command()
def boards() -> None:
    """List the boards."""
    from .config import BUILT_IN, load
    from .fpga.board import BOARDS, board
    configs = [load(path) for path in sorted(BUILT_IN.glob("*.toml"))]
    for name in BOARDS:
        found = board(name)
        ours = ", ".join(config.name for config in configs if config.board == name) or "no configuration"
        click.echo(f"{name:12} {found.title}, {found.family} {found.part}, {found.clock_hz / 1e6:g} MHz: {ours}")


@click.command()
@click.option("--markdown", is_flag=True, help="As a table for the documentation.")
@click.argument("names", nargs=-1, metavar="[DESIGN]...")
def designs(markdown: bool, names: tuple[str, ...]) -> None:
    """List the designs of the catalogue."""
    from .hw.catalog import CATALOG, GROUPS, find
    if markdown:
        click.echo("| group | designs | for example |\n|---|--:|---|")
        for group, members in GROUPS.items():
            click.echo(f"| {group} | {len(members)} | `{members[0].name}`: {members[0].summary} |")
        return
    chosen = [find(name) for name in names] or CATALOG
    width = max(len(design.name) for design in chosen)
    for design in chosen:
        click.echo(f"{design.name:{width}}  {design.summary}")


@click.command()
def registers() -> None:
    """List the device's registers."""
    from .registers import REGISTERS
    for register in REGISTERS:
        click.echo(f"{register.address:#04x} {register.access} {register.name:17} {register.text}")


@click.command()
@click.option("--config", "-c", default="sim", show_default=True, metavar="CONFIG", help="Configuration to simulate.")
@click.option("--uart", is_flag=True, help="With the UART, instead of byte streams.")
def simulator(config: str, uart: bool) -> None:
    """Build the simulated device, unless it is built, and print its library's path."""
    from .sw_driver.simulated import library
    click.echo(library(config, uart=uart))


@click.command()
@click.argument("rows", type=int)
@click.argument("columns", type=int)
@click.option("--family", default="ecp5", show_default=True, metavar="FAMILY", help="ecp5, gowin, ice40 or nexus.")
@click.option("--width", default=128, show_default=True, type=int, metavar="BITS", help="Bits of weights that the memory gives in a cycle.")
@click.option("--structure", metavar="NAME", help="This one, instead of the cheapest: dot, lut_ram, byte_ram or byte_half.")
@click.option("--biased", is_flag=True, help="Sums may have a bias that is known with the weights.")
@click.option("--no-block-ram", is_flag=True, help="None is left for tables.")
def choose(rows: int, columns: int, family: str, width: int, structure: str | None, biased: bool, no_block_ram: bool) -> None:
    """Structure that multiplies a ternary matrix of ROWS (outputs) by COLUMNS for the fewest look-up tables, by measured cost.

    \b
    mantissa choose 2560 6912
    mantissa choose 64 2560 --family gowin --width 16
    """
    from .fpga.ternary_choice import ROWS, STRUCTURES, cheapest, cross_over
    exact, block_ram = not biased, not no_block_ram
    best = cheapest(family, rows, columns, width, structure=structure, exact=exact, block_ram=block_ram)
    names = [name for name in STRUCTURES if name in ROWS[family] and (block_ram or not name.startswith("byte"))]
    click.echo("| structure | tables | built at a time | rows at a time | LUT-eq per MAC/cycle | |\n| --- | --: | --: | --: | --: | --- |")
    for name in names:
        found = cheapest(family, rows, columns, width, structure=name, exact=exact)
        mark = "taken" if name == best.structure else ""
        click.echo(f"| {name} | {found.tables} | {found.lanes} | {found.columns} | {found.per_mac:.2f} | {mark} |")
    steps = cross_over(family, columns, width, exact=exact, block_ram=block_ram)
    click.echo(f"\nCheapest on {family} for {columns} columns: " + ", ".join(f"{name} from {at} rows" for at, name in steps))


COMMANDS = (gen, verify, cost, bitstream, flash, boards, designs, registers, simulator, choose)
