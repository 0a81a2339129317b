"""The command that measures what designs cost, and makes the page that says so."""
from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .errors import MantissaError

if TYPE_CHECKING:
    from .fpga.cost import Cost

__all__ = ["cost"]

PICTURES = (".png", ".svg")


@click.command()
@click.argument("names", nargs=-1, metavar="[DESIGN]...")
@click.option("--family", default="ecp5", show_default=True, metavar="NAME", help="FPGA family: ecp5, ice40, gowin or nexus.")
@click.option("--pnr", is_flag=True, help="Place and route too, for the frequency.")
@click.option("--seeds", default=1, show_default=True, type=int, metavar="N", help="Placements to try, with --pnr; their median is shown.")
@click.option("--jobs", type=int, metavar="N", help="Designs measured at a time; by default as many as there are processors.")
@click.option("--json", "json_path", is_flag=False, flag_value="-", metavar="[FILE]",
              help="Print JSON instead of the table; with FILE, which ends in .json, write it there besides the table. DESIGN goes before.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw error against cost, a PNG or an SVG.")
@click.option("--page", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
              help="Make the tables of a page instead, from the reports beside it; measures nothing.")
@click.option("--remeasure", is_flag=True, help="With --page: measure all of the catalogue on all families first, and write the reports.")
def cost(names: tuple[str, ...], family: str, pnr: bool, seeds: int, jobs: int | None, json_path: str | None, plot: Path | None,
         page: Path | None, remeasure: bool) -> None:
    """Measure what designs cost on an FPGA, and what they do for it. All of the catalogue without DESIGN.

    Cells are those after synthesis; MAC/cycle is counted in a simulation without stalls. Netlists, placements and counts are kept by digest
    in build/fpga.

    \b
    mantissa cost --family ecp5 --pnr --seeds 3
    mantissa cost mac_8x8_acc24_booth --family gowin --pnr
    mantissa cost mac_8x8_acc24_booth --json
    mantissa cost --page docs/cost.md --remeasure
    """
    if plot is not None and plot.suffix not in PICTURES:
        raise MantissaError(f"Plot must be a file that ends in {' or '.join(PICTURES)}, not {str(plot)!r}")
    _check_json(json_path)
    if page is not None:
        if json_path is not None:
            raise MantissaError("Option --json must be without --page, whose reports are JSON already")
        if names:
            raise MantissaError(f"A page shows the whole catalogue, not {names[0]!r} alone")
        _page(page, remeasure, jobs, plot)
        return
    if remeasure:
        raise MantissaError("Option --remeasure must have a --page whose reports are measured")
    from .fpga.cost import as_json, recipe_text
    from .fpga.tables import markdown, show
    costs = _measured(names, family, pnr, seeds, jobs)
    recipe = recipe_text(family, pnr, seeds)
    text = json.dumps(as_json(costs, recipe), indent=1) + "\n"
    folder = Path("build/cost")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{family}.json").write_text(text)
    (folder / f"{family}.md").write_text(markdown(costs, recipe))
    if json_path not in (None, "-"):
        Path(json_path).write_text(text)
    if json_path == "-":
        click.echo(text, nl=False)
    else:
        show(costs, recipe)
    if plot is not None:
        from .fpga.pareto import draw
        draw(costs, recipe, plot)


def _check_json(path: str | None) -> None:
    """Refuse a file that is likelier the design to measure."""
    if path is None or path == "-" or Path(path).suffix == ".json":
        return
    from .hw.catalog import CATALOG
    hint = ", a design, which goes before --json" if path in {design.name for design in CATALOG} else ""
    raise MantissaError(f"File of --json must end in .json, not be {path!r}{hint}")


def _measured(names: tuple[str, ...], family: str, pnr: bool, seeds: int, jobs: int | None, most: int | None = None,
              others: bool = True, missing: list[str] | None = None) -> list[Cost]:
    from .fpga.cost import STORE, cost as measure
    from .fpga.tables import bar
    from .sim_tb.throughput import kept
    with bar(f"Measuring, {family}") as step:
        return measure(names, family, pnr, seeds, rate=kept(STORE), most=most, others=others, jobs=jobs, progress=step,
                       missing=missing)


def _page(page: Path, remeasure: bool, jobs: int | None, plot: Path | None) -> None:
    from .fpga.cost import as_json, recipe_text
    from .fpga.page import PLAN, fill, read_reports, report_of
    from .fpga.pareto import draw
    for family, plan in PLAN.items() if remeasure else ():
        missing: list[str] = []
        costs = _measured((), family, True, plan.seeds, jobs, plan.most, plan.others, missing)
        path = report_of(page, family)
        path.parent.mkdir(parents=True, exist_ok=True)
        recipe = [*recipe_text(family, True, plan.seeds, plan.most, plan.others), *(f"Not there: {text}." for text in missing)]
        path.write_text(json.dumps(as_json(costs, recipe), indent=1) + "\n", encoding="utf-8")
        click.echo(f"wrote {path}: {len(costs)} designs")
    reports = read_reports(page)
    page.write_text(fill(page.read_text(encoding="utf-8"), reports), encoding="utf-8")
    click.echo(f"wrote {page}")
    if remeasure or plot:
        plot = plot or page.parent / "reports" / "cost-pareto.png"
        draw(*reports["ecp5"], plot)
        click.echo(f"wrote {plot}")
