"""The page of costs: its tables are made from reports of measured figures, its prose is written by hand."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import json
from pathlib import Path
import re

from ..errors import MantissaError
from ..hw.catalog import GROUPS
from .accuracy import METHOD, sqnr
from .cost import Cost, from_json
from .family import FAMILIES
from .pareto import front, ours, published
from .rivals import BESIDE, RECIPE, RIVALS, WANTED, Rival, Wanted
from .tables import cells_of, lines, spread

__all__ = ["PLAN", "Plan", "fill", "losses", "read_reports", "report_of"]

Report = tuple[list[Cost], list[str]]
"""Figures of a family, and their recipe."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a family is measured: seeds, LUT-eq beyond which nothing is placed, whether what does not multiply is placed too."""
    seeds: int
    most: int
    others: bool = False


PLAN = {"ecp5": Plan(seeds=3, most=4000, others=True), "ice40": Plan(seeds=1, most=2000), "gowin": Plan(seeds=1, most=1000),
        "nexus": Plan(seeds=1, most=2000)}
"""What the page shows, by family."""


def report_of(page: Path, family: str) -> Path:
    """File with the figures of a family, beside the page."""
    return page.parent / "reports" / f"cost-{family}.json"


def read_reports(page: Path) -> dict[str, Report]:
    """Reports beside the page, by family.

    Raises
    ------
    MantissaError
        If one is missing.
    """
    found = {}
    for family in FAMILIES:
        path = report_of(page, family)
        if not path.is_file():
            raise MantissaError(f"Page {page} must have {path} beside it: measure with --remeasure")
        found[family] = from_json(json.loads(path.read_text(encoding="utf-8")))
    return found


def fill(text: str, reports: Mapping[str, Report]) -> str:
    """The page with all between ``<!-- cost:NAME -->`` and ``<!-- /cost:NAME -->`` made again.

    Raises
    ------
    MantissaError
        If a name is not one, or a mark has no end.
    """
    parts = _parts(reports)
    opened, closed = (re.findall(rf"<!-- {mark}cost:([\w-]+) -->", text) for mark in ("", "/"))
    if opened != closed:
        raise MantissaError(f"Marks of the page must each be ended, not {', '.join(opened)} by {', '.join(closed)}")
    for name in opened:
        if name not in parts:
            raise MantissaError(f"Marks of the page must be of {', '.join(parts)}, not {name!r}")
        mark = re.compile(rf"(<!-- cost:{name} -->\n).*?(<!-- /cost:{name} -->)", re.DOTALL)
        made = "".join(f"{line}\n" for line in parts[name]())
        text = mark.sub(lambda found, made=made: found[1] + made + found[2], text)
    return text


def _parts(reports: Mapping[str, Report]) -> dict[str, Callable[[], list[str]]]:
    ecp5 = reports["ecp5"][0]
    parts: dict[str, Callable[[], list[str]]] = {
        "ecp5": lambda: _groups(ecp5), "rivals": lambda: _rivals(ecp5), "losses": lambda: [f"* {line}" for line in losses(ecp5)],
        "formats": lambda: _formats(ecp5), "rivals-recipe": lambda: [RECIPE]}
    for family, (rows, recipe) in reports.items():
        parts[f"{family}-recipe"] = lambda recipe=recipe: [f"* {line}" for line in recipe]
        if family != "ecp5":
            parts[family] = lambda rows=rows: _plain(rows)
    return parts


def _plain(rows: Sequence[Cost]) -> list[str]:
    header, cells = cells_of(rows)
    unplaced = [f"Not placed: `{row.name}` ({row.note})." for row in rows if row.note]
    return [*lines(header, [[f"`{name}`", *rest] for name, *rest in cells]), *[""] * bool(unplaced), *unplaced]


def _groups(rows: Sequence[Cost]) -> list[str]:
    """A table for each group of the catalogue, with what was wanted."""
    made: list[str] = []
    for group, designs in GROUPS.items():
        members = [row for design in designs for row in rows if row.name == design.name]
        if not members:
            continue
        header, cells = cells_of(members)
        wanted = [_wanted(row) for row in members]
        if any(wanted):
            header, cells = [*header, "wanted"], [[*line, text] for line, text in zip(cells, wanted, strict=True)]
        unplaced = [f"Not placed: `{row.name}` ({row.note})." for row in members if row.note]
        words = (0, len(header) - 1) if any(wanted) else (0,)
        made += [f"### {group}", "", *lines(header, [[f"`{name}`", *rest] for name, *rest in cells], words), "",
                 *unplaced, *[""] * bool(unplaced)]
    return made[:-1]


def _size(luteq: float, dsp: float = 0, mhz: str = "") -> str:
    return f"{luteq:g}" + f" + {dsp:g} DSP" * bool(dsp) + f" at {mhz}" * bool(mhz)


def _misses(row: Cost, wanted: Wanted) -> list[str]:
    """In what a design is worse than it was to be."""
    missed = [f"{row.luteq - wanted.luteq} LUT-eq more"] * (row.luteq > wanted.luteq)
    missed += [f"{row.dsp - wanted.dsp} DSP more"] * (row.dsp > wanted.dsp)
    if wanted.mhz is not None:
        missed += ["frequency not measured"] if row.fmax is None else [f"{wanted.mhz - row.fmax:.0f} MHz slower"] * (row.fmax < wanted.mhz)
    return missed


def _wanted(row: Cost) -> str:
    if row.name not in WANTED:
        return ""
    wanted = WANTED[row.name]
    missed = _misses(row, wanted)
    return _size(wanted.luteq, wanted.dsp, str(wanted.mhz or "")) + f": **{', '.join(missed)}**" * bool(missed)


def _lanes(row: Cost) -> float:
    return max(row.macs.values(), default=1)


def _against(row: Cost, rival: Rival) -> tuple[list[str], list[str]]:
    """In what ours is better than a rival and in what worse, lane by lane; the rival without DSPs where ours has none."""
    lanes = _lanes(row)
    plain = not row.dsp and rival.no_dsp is not None
    theirs = rival.no_dsp if plain or rival.luteq is None else rival.luteq
    pairs = [(row.luteq / lanes, (theirs or 0) / rival.lanes, "smaller", "larger"),
             (row.dsp / lanes, 0 if plain or rival.luteq is None else rival.dsp / rival.lanes, "fewer DSPs", "more DSPs")]
    if rival.ff:                                           # combinational ones have theirs in the harness
        pairs.append((row.ff / lanes, rival.ff / rival.lanes, "fewer FF", "more FF"))
    better = [word for mine, other, word, _ in pairs if mine < other]
    worse = [word for mine, other, _, word in pairs if mine > other]
    if rival.mhz and row.fmax is not None:
        (better if row.fmax > max(rival.mhz) else worse if row.fmax < min(rival.mhz) else []).append(
            "faster" if row.fmax > max(rival.mhz) else "slower")
    return better, worse


def _rivals(rows: Sequence[Cost]) -> list[str]:
    by_name = {row.name: row for row in rows}
    header = ["published", "LUT-eq", "without DSP", "FF", "MHz", "MAC/cycle",
              "ours beside it", "LUT-eq", "FF", "MHz", "MAC/cycle", "ours is"]
    made = []
    for key, rival in RIVALS.items():
        row = by_name.get(BESIDE.get(key, ""))
        sums = "" if rival.exact is None else ", sums exact" if rival.exact else ", sums rounded"
        title = rival.title + sums + f"; {rival.note}" * bool(rival.note)
        cells = [title, "-" if rival.luteq is None else _size(rival.luteq, rival.dsp),
                 *("-" if count is None else str(count) for count in (rival.no_dsp, rival.ff)),
                 " to ".join(map(str, rival.mhz)) or "-", spread(rival.macs)]
        if row is None:
            made.append([*cells, "nothing like it yet", "-", "-", "-", "-", ""])
            continue
        better, worse = _against(row, rival)
        lanes = ", by the lane" * (rival.lanes > 1 or _lanes(row) > 1)
        outcome = ", ".join([*better, *(f"**{word}**" for word in worse)]) + lanes
        made.append([*cells, f"`{row.name}`", _size(row.luteq, row.dsp), str(row.ff), "-" if row.fmax is None else f"{row.fmax:.0f}",
                     spread(row.throughput), outcome])
    sources = sorted({rival.source for rival in RIVALS.values()})
    return [*lines(header, made, (0, 6, 11)), "", f"Sources: {'; '.join(sources)}."]


def losses(rows: Sequence[Cost]) -> list[str]:
    """Where ours is worse than what was wanted or than a rival, a line each."""
    by_name = {row.name: row for row in rows}
    found = [f"`{name}`: wanted {_size(wanted.luteq, wanted.dsp, str(wanted.mhz or ''))}, {', '.join(missed)}."
             for name, wanted in WANTED.items() if name in by_name and (missed := _misses(by_name[name], wanted))]
    for key, name in BESIDE.items():
        if name in by_name and (worse := _against(by_name[name], RIVALS[key])[1]):
            found.append(f"`{name}` is {' and '.join(worse)} beside {RIVALS[key].title}.")
    return found


def _formats(rows: Sequence[Cost]) -> list[str]:
    """Formats by error, the cheapest design of each without DSPs, and what is published of the same."""
    mine, others = ours(rows), published()
    on_front = front(mine)
    made = []
    for operands in sorted({point.operands for point in (*mine, *others)}, key=sqnr):
        cells = [f"`{operands}`", f"{sqnr(operands):.1f}"]
        for points in (mine, others):
            same = [point for point in points if point.operands == operands and not point.dsp]
            best = min(same, key=lambda point: point.cost, default=None)
            if best is None:
                cells += ["-", "-"]
            elif best.name in RIVALS:
                cells += [f"{best.cost:.1f}", RIVALS[best.name].title]
            else:
                cells += [f"{best.cost:.1f}", f"`{best.name}`" + ", **on the front**" * (best in on_front)]
        made.append(cells)
    header = ["operands", "dB", "LUT-eq per MAC/cycle", "ours", "LUT-eq per MAC/cycle", "published"]
    return [*lines(header, made, (0, 3, 5)), "", METHOD]
