"""The digits CNN in eight assignments of formats: the committed models, and the script that runs them on a device."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mantissa.compiler import compile
from mantissa.config import identity, load as load_config
from mantissa.errors import MantissaError
from mantissa.graph import Conv, Graph, MatMul, evaluate
from mantissa.onnx_import import load
from mantissa.registers import Capability
from mantissa.sw_driver import Device

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits"
WEIGHTS = {"int8": {"int8"}, "e4m3": {"e4m3"}, "posit8_0": {"posit8_0"}, "int4": {"int4"}, "e2m1": {"e2m1"}, "posit4_1": {"posit4_1"},
           "mxfp4": {"mxfp4"}, "mixed": {"int4", "e2m1"}}
each = pytest.mark.parametrize("name", WEIGHTS)


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    monkeypatch.syspath_prepend(DIGITS)
    from data import split
    return split()[2:]


@pytest.fixture(scope="module")
def formats() -> Capability:
    config = load_config("formats")
    return Capability.of(config, identity(config))


def made(name: str) -> Graph:
    return load(DIGITS / "formats" / f"{name}.onnx")


@each
def test_models(name: str, images: tuple[np.ndarray, np.ndarray], formats: Capability) -> None:
    """Formats are those that the name says, accuracy is what the example promises, and every step of the compiler is exact."""
    graph, (x, labels) = made(name), images
    assert {node.weight_format for node in graph.nodes if isinstance(node, (Conv, MatMul))} == WEIGHTS[name]
    logits = graph.dequantize(evaluate(graph, graph.quantize(x))[graph.output])
    assert (logits.argmax(1) == labels).mean() >= 0.95
    assert sum(step.elements for step in compile(graph, formats, check=True).checks) > 50_000


def test_device_without_formats_refuses() -> None:
    config = load_config("sim")
    with pytest.raises(MantissaError, match="^Layer first must be in formats of the device \\(int8\\), not int4$"):
        compile(made("int4"), Capability.of(config, identity(config)))


@pytest.mark.parametrize("name", ["int8", "e4m3", "posit8_0", "mixed", "mxfp4", "int4", "e2m1", "posit4_1"])
def test_simulated_device(name: str, images: tuple[np.ndarray, np.ndarray]) -> None:
    """Every output of every layer."""
    graph, x = made(name), images[0][:2]
    golden = evaluate(graph, graph.quantize(x))
    with Device.open("sim", config="formats") as device:
        found = device.load(graph, keep_all=True).layers(x)
    assert len(found) == 8 and all(np.array_equal(codes, golden[tensor]) for tensor, codes in found.items())


def test_page_is_what_the_report_says() -> None:
    rows = json.loads((ROOT / "docs" / "reports" / "formats.json").read_text())["models"]
    page = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    assert len(rows) == 8 and all(row["images"] == 450 for row in rows)
    for row in rows:
        size = f"{row['weight_bits']:.2f} | {row['activation_bits']:.2f} | {row['model_bytes']:,} | {row['cycles']:,}"
        assert f"| `{row['model']}` | {row['accuracy']:.4f} | {size} | {row['mismatches']} of {row['elements']:,} |" in page


def test_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(DIGITS)
    import run_formats
    arguments = ["--device", "golden", "--images", "3", "--models", "posit4_1", "mxfp4", "--output", str(tmp_path)]
    assert run_formats.main(arguments) == 0
    assert "posit4_1" in capsys.readouterr().out and (tmp_path / "formats.png").stat().st_size > 10_000
    first, second = json.loads((tmp_path / "formats.json").read_text())["models"]
    assert (first["mismatches"], first["elements"], first["weight_bits"], first["cycles"]) == (0, 3 * 4906, 4, None)
    assert second["activation_bits"] == 8 and 4.25 < second["weight_bits"] < 5
    assert run_formats.main(["--device", "golden", "--config", "zx81"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("run_formats: Configuration must be a .toml file or one of formats, ")


def test_script_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A device whose results differ from the golden model's fails the run, by name of the model."""
    monkeypatch.syspath_prepend(DIGITS)
    import run_formats
    monkeypatch.setattr(run_formats, "evaluate", lambda graph, codes: {
        tensor: values ^ np.int8(tensor == "logits") for tensor, values in evaluate(graph, codes).items()})
    assert run_formats.main(["--device", "golden", "--images", "2", "--models", "int8", "--output", str(tmp_path)]) == 1
    assert "run_formats: Outputs of int8 must equal the golden model's, and 20 do not" in capsys.readouterr().err
