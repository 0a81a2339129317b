"""The shape of the repository itself."""
from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest

from mantissa.sources import closure

ROOT = Path(__file__).parent.parent
FOLDERS = ("hw", "gen", "sim_tb", "fpga", "sw_driver")

# What each part may import from which others; a part is a folder, or one of the root package's layers.
CORE = {"errors", "sources"}
LAYERS = {
    "numbers": {"formats", "formats_table", "kinds", "kinds_float", "kinds_posit", "kinds_power", "boundaries", "codes", "blocks",
                "bit_switch", "rounding", "product", "golden", "fixed", "ternary", "ternary_norm", "ternary_product",
                "ternary_tiles", "ternary_columns", "bitlinear"},
    "tables": {"config", "registers", "instruction", "program", "ternary_program", "frame", "design"},
    "interpreter": {"interpreter", "ternary_interpreter"},
    "compiler": {"graph", "compiler", "compiler_check", "compiler_emit", "compiler_place", "compiler_plan", "compiler_result",
                 "compiler_scale",
                 "compiler_tasks", "ternary_network"},
    "onnx": {"onnx_compare", "onnx_import", "onnx_formats", "onnx_models", "onnx_operators", "onnx_quantize", "onnx_values"},
    "llm": {"llm", "llm_gguf", "llm_layouts", "llm_safetensors", "llm_statistics", "llm_weights"},
    "cli": {"cli", "cli_cost", "cli_hardware", "cli_models"},
}
ALLOWED = {
    "core": set(),
    "numbers": {"core"},
    "tables": {"core", "numbers"},
    "interpreter": {"core", "numbers", "tables"},
    "compiler": {"core", "numbers", "tables", "interpreter"},
    "onnx": {"core", "numbers", "compiler"},
    "llm": {"core", "numbers"},
    "hw": {"core", "numbers", "tables"},
    "gen": {"core", "numbers", "tables", "hw"},
    "fpga": {"core", "numbers", "tables", "hw", "gen", "sw_driver"},          # flash reads the identity back
    "sw_driver": {"core", "numbers", "tables", "interpreter", "compiler", "onnx"},
    "sim_tb": {"core", "numbers", "tables", "interpreter", "compiler", "hw", "gen", "fpga", "sw_driver"},
    "cli": {"core", "numbers", "tables", "compiler", "onnx", "llm", "sw_driver", *FOLDERS},
}


def sources() -> list[Path]:
    return [*ROOT.glob("mantissa/*.py"), *(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.py"))]


def part_of(folder: str, module: str) -> str | None:
    """Part of a module, given by the folder it is in and its name."""
    if folder != "mantissa":
        return folder
    return "core" if module in CORE else next((layer for layer, names in LAYERS.items() if module in names), None)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and part of everything of ours a file imports."""
    here = path.parent.name
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        module = (node.module or "").split(".")
        up = node.level == 2 or here == "mantissa"
        if not up:
            continue                                      # within its folder
        names = [module[0]] if module[0] else [alias.name for alias in node.names]
        for name in names:
            part = name if name in FOLDERS else part_of("mantissa", name)
            if part is not None:
                yield node.lineno, part


def test_every_module_has_a_layer() -> None:
    for path in ROOT.glob("mantissa/*.py"):
        assert path.stem == "__init__" or part_of("mantissa", path.stem), f"{path.name} is in no layer of {Path(__file__).name}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_dependencies_run_one_way(path: Path) -> None:
    part = part_of(path.parent.name, path.stem)
    for line, other in imports(path):
        assert part is None or other == part or other in ALLOWED[part], f"{path}:{line}: {part} must not import {other}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_module(path: Path) -> None:
    """Imports of ours are relative and explicit, and a module says what it has."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level or not (node.module or "").startswith("mantissa"), f"{path}:{node.lineno}: import must be relative"
            assert all(alias.name != "*" for alias in node.names), f"{path}:{node.lineno}: names must be explicit"
        if isinstance(node, ast.Import):
            assert all(not alias.name.startswith("mantissa") for alias in node.names), f"{path}:{node.lineno}: import must be relative"
    if path.stem not in ("__init__", "__main__"):
        assert ast.get_docstring(tree), f"{path} must have a docstring"
        names = {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)}
        assert "__all__" in names, f"{path} must have __all__"


def test_links() -> None:
    for name in FOLDERS:
        link = ROOT / "mantissa" / name
        assert link.is_dir(), f"mantissa/{name} must be a link to {name}: enable symbolic links in git"
        assert (link / "__init__.py").samefile(ROOT / name / "__init__.py")


def test_folders_are_flat() -> None:
    for folder in FOLDERS:
        assert not list((ROOT / folder).glob("*/**/*.py")), f"{folder} must be flat, or its modules are missing from the wheel"


def loaded(statement: str) -> set[str]:
    """Top-level modules a statement loads in a fresh interpreter."""
    code = f"import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


HEAVY = {"amaranth", "cocotb", "onnx", "onnxruntime", "serial", "rich", "click", "torch", "sklearn", "matplotlib", "scipy", "ml_dtypes",
         "gguf", "safetensors"}


def test_core_needs_numpy_alone() -> None:
    names = sorted(name for layer in ("numbers", "tables", "interpreter", "compiler") for name in LAYERS[layer])
    found = loaded("import " + ", ".join(f"mantissa.{name}" for name in names))
    assert "numpy" in found and not found & HEAVY


def test_driver_never_needs_the_generators() -> None:
    found = loaded("import mantissa.sw_driver, mantissa.sim_tb.device, mantissa.cli")
    assert "serial" in found and not found & (HEAVY - {"serial", "rich", "click"})


def test_golden_and_driver_run_without_the_generators() -> None:
    """The golden device works where Amaranth can not be imported at all."""
    code = """
import sys
sys.modules["amaranth"] = sys.modules["cocotb"] = None
from mantissa.sw_driver import Device
import numpy as np
with Device.open("golden") as device:
    print(device.load("examples/digits/digits_mlp.onnx")(np.zeros((1, 64), np.float32)).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "(1, 10)", done.stderr


def test_identity_depends_on_what_makes_hardware() -> None:
    names = {str(path.relative_to(ROOT / "mantissa")) for path in closure(["hw/accelerator.py", "hw/serial.py"])}
    assert {"config.py", "registers.py", "program.py", "hw/accelerator.py", "hw/serial.py", "hw/link.py", "hw/sequencer.py"} <= names
    assert not {"compiler.py", "golden.py", "hw/catalog.py", "cli.py"} & names
    import mantissa.config
    code = "import sys, mantissa.hw.accelerator, mantissa.hw.serial; print(*[n for n in sys.modules if n.startswith('mantissa.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    imported = {module.removeprefix("mantissa.").replace(".", "/") + ".py" for module in done.stdout.split()} - {"hw.py"}
    assert imported == names and mantissa.config.identity(mantissa.config.load("sim"))


def test_wheel_is_complete(tmp_path: Path) -> None:
    """The wheel, installed elsewhere, has every module and every file they read."""
    copy = tmp_path / "source"
    links = [*FOLDERS, "build", ".*", "*.egg-info", "__pycache__"]           # without the links: they are not what makes the wheel
    shutil.copytree(ROOT / "mantissa", copy / "mantissa", ignore=shutil.ignore_patterns(*links))
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(copy)], check=True)
    wheel, = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    for path in sources():
        name = f"mantissa/{path.name}" if path.parent.name == "mantissa" else f"mantissa/{path.parent.name}/{path.name}"
        assert name in inside, f"{name} is missing from the wheel"
    for pattern in ("mantissa/configs/*.toml", "sim_tb/*.cpp", "sim_tb/*.v", "fpga/boards/*"):
        for path in ROOT.glob(pattern):
            assert "mantissa/" + str(path.relative_to(ROOT)).removeprefix("mantissa/") in inside, f"{path} is missing from the wheel"
    target = tmp_path / "elsewhere"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    code = f"""
import sys; sys.path.insert(0, {str(target)!r})
import mantissa, mantissa.config, mantissa.hw.accelerator, mantissa.gen, mantissa.fpga.board, mantissa.sim_tb.device, mantissa.sw_driver
assert mantissa.__file__.startswith({str(target)!r}), mantissa.__file__
assert mantissa.sim_tb.device.HARNESS.is_file()
print(mantissa.config.load("sim").array, *mantissa.fpga.board.BOARDS)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["8", "icebreaker", "ulx3s-85f"], done.stderr


def test_dependencies_have_reasons() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)["project"]
    for requirement in [*table["dependencies"], *(r for extra in table["optional-dependencies"].values() for r in extra)]:
        if not requirement.startswith("mantissa["):
            line = next(line for line in text.splitlines() if f'"{requirement}"' in line)
            assert "#" in line, f"{requirement} must have its reason beside it"


def test_what_makes_hardware_is_pinned() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for extra in ("hw", "sim", "fpga", "flash"):
        for requirement in extras[extra]:
            assert requirement.startswith("mantissa[") or "==" in requirement, f"{requirement} of [{extra}] must be pinned"


def test_every_make_target_calls_the_bootstrap() -> None:
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if ";" in line and "@" in line and not line.startswith("clean")]
    targets = {line.partition(":")[0].strip() for line in lines}
    assert targets == {"run", "gen", "sim", "test", "check", "bench", "cost", "bitstream", "flash"}
    assert all("@$(IN) " in line for line in lines)
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for line in lines:
        assert set(line.split("@$(IN) ")[1].split(" ")[0].split(",")) <= extras
