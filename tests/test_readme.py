"""What the documentation shows is true: commands exist, examples run, tables are fresh, links lead somewhere."""
from __future__ import annotations

from pathlib import Path
import re
import shlex
import subprocess
import sys

import click
import pytest

from mantissa import cli
from mantissa.frame import HEADER_BYTES, Status, Type
from mantissa.registers import Region

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def commands() -> list[str]:
    """Every command of ours in a shell block or an indented line, and every ``mantissa ...`` or ``make ...`` in running text."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [line.partition("#")[0].strip() for block in blocks(text, "sh") for line in block.splitlines()]
        lines += re.findall(r"`((?:mantissa|make) [^`]+)`", text)
        lines += re.findall(r"^    ((?:mantissa|make) [^\[\n]+)$", text, re.M)
        found += [line for line in lines if line]
    return sorted(set(found))


def test_there_are_commands() -> None:
    assert len(commands()) >= 12


@pytest.mark.parametrize("line", commands())
def test_command_parses(line: str) -> None:
    program, *words = shlex.split(line)
    if program == "make":
        targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
        assert words and words[0] in targets and all("=" in word for word in words[1:])
        return
    assert program == "mantissa"
    if words[0] == "COMMAND":
        return
    command = cli.cli.get_command(click.Context(cli.cli), words[0])
    assert command is not None, f"{line}: no such command"
    command.make_context(words[0], words[1:])             # raises on an unknown option or a missing argument


def scripts() -> dict[tuple[str, ...], set[str]]:
    """Every ``python FILE`` and ``python -m MODULE`` on a page, and the options it is shown with."""
    found: dict[tuple[str, ...], set[str]] = {}
    for page in PAGES:
        for line in re.findall(r"(?:`|^ {4}|^)python ((?:-m mantissa|[a-z_]+/)[^`\n]*)", page.read_text(encoding="utf-8"), re.M):
            words = line.split()
            target = tuple(words[:1 + (words[0] == "-m")])
            found.setdefault(target, set()).update(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(words[len(target):])))
    return found


def test_there_are_scripts() -> None:
    assert len(scripts()) >= 12


@pytest.mark.parametrize(("target", "options"), sorted(scripts().items()), ids=lambda value: value[-1] if isinstance(value, tuple) else "")
def test_script_has_its_options(target: tuple[str, ...], options: set[str]) -> None:
    if target[0] != "-m" and "\nimport torch\n" in (text := (ROOT / target[0]).read_text(encoding="utf-8")):
        assert not options and "Needs ``mantissa[train]``" in text      # trains, by hand: torch is not among the tests' libraries
        return
    done = subprocess.run([sys.executable, *target, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert options <= set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", done.stdout))


def quick(line: str) -> bool:
    """Whether a command needs no simulator."""
    return ("golden" in line or line.split()[1] in ("info", "boards", "designs", "compile")) and "MODEL" not in line


@pytest.mark.parametrize("line", [line for line in commands() if quick(line)])
def test_command_runs(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    assert cli.main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out


def test_example_runs() -> None:
    example, = blocks(README.split("<!-- example -->")[1], "python")[:1]
    assert len(example.splitlines()) <= 20
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("predictions [") and len(lines) == 10
    assert "cycles, array busy" in lines[1] and lines[-1].endswith("outputs read back")


def test_table_of_designs_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["designs", "--markdown"]) == 0
    shown = README.partition("<!-- designs -->\n")[2].partition("<!-- /designs -->")[0]
    assert shown == capsys.readouterr().out, "README.md's table of designs must be what `mantissa designs --markdown` prints"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    for name in re.findall(r"`((?:mantissa|hw|gen|sim_tb|fpga|sw_driver|tests)/[\w/.]+\.\w+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_link_page_has_the_protocol() -> None:
    text = (ROOT / "docs" / "link.md").read_text(encoding="utf-8")
    for kind in (Type, Status):
        for member in kind:
            assert f"{member.name} {member.value}" in text
    sizes = [int(size) for size in re.findall(r"^\| (\d) \| ", text, re.M)]
    assert sum(sizes) == HEADER_BYTES
    for region in Region:
        assert f"({region.value})" in text


def test_ternary_page_has_the_numbers_of_its_report() -> None:
    page = " ".join((ROOT / "docs" / "ternary-accelerator.md").read_text(encoding="utf-8").partition("## On the ULX3S\n")[2].split())
    report = (ROOT / "docs" / "reports" / "ulx3s-ternary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| \d+ % \|$", report, re.M)
    cells = {name: (int(used), int(available)) for name, used, available in rows}
    luts, ffs, dsps, rams = (cells[name] for name in ("TRELLIS_COMB", "TRELLIS_FF", "MULT18X18D", "DP16KD"))
    assert f"{luts[0]:,} LUTs and {ffs[0]:,} flip-flops of {luts[1]:,}, {dsps[0]} DSPs, {rams[0]} of {rams[1]} block RAMs" in page
    clocks = re.findall(r"` \| ([\d.]+) \| ([\d.]+) \|$", report, re.M)
    reached, required = min((float(reached), float(required)) for reached, required in clocks)
    assert f"timing closed at {required:g} MHz, {reached:g} MHz reached" in page
    ends = re.search(r"^Slowest path: `serial\.component\.([\w.]+)` to `serial\.component\.([\w.]+)`", report, re.M)
    assert ends
    named = re.search(r"slowest path is from `([\w.]+)` to `([\w.]+)`", page)
    assert named and all(end.startswith(name) for end, name in zip(ends.groups(), named.groups(), strict=True))


def test_picture_is_a_picture() -> None:
    from xml.etree import ElementTree
    root = ElementTree.parse(ROOT / "docs" / "architecture.svg").getroot()
    assert root.tag.endswith("svg") and sum(1 for _ in root.iter("{http://www.w3.org/2000/svg}text")) > 20
