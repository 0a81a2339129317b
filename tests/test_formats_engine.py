# amaranth: UnusedElaboratable=no
"""The accelerator's units where it has several formats, on every number there is, and what is refused."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
import re

import numpy as np
import pytest

from mantissa.compiler import compile
from mantissa.config import Config, load
from mantissa.design import Streams
from mantissa.errors import MantissaError
from mantissa.fixed import NAMES, WEIGHTS, as_fixed
from mantissa.graph import Graph, Rescale, Tensor
from mantissa.hw.array_weight import WeightStationary
from mantissa.hw.catalog import find
from mantissa.hw.decode import VectorDecode, WeightDecode
from mantissa.hw.engine import Accumulate
from mantissa.hw.format_lane import FormatLane
from mantissa.hw.reduce import Reduce
from mantissa.registers import Capability
from mantissa.sim_tb.exhaustive import harness, run_cases
from mantissa.sim_tb.verilator import Harness

LANE = find("format_lane_x1")


@pytest.fixture(scope="module")
def lane(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    return harness(LANE, folder=tmp_path_factory.mktemp("lane"), optimize=0)


def quarters(name: str, rng: np.random.Generator) -> Streams:
    """Quarters of units, from beyond the least number to beyond the greatest: all, or those around numbers and their middles."""
    numbers = np.unique(as_fixed(name, np.arange(256)))
    if len(numbers) < 256 and numbers[-1] <= 4096:
        acc = np.arange(4 * numbers[0] - 40, 4 * numbers[-1] + 41)
    else:
        around = np.concatenate([4 * numbers, 2 * (numbers[1:] + numbers[:-1])])
        acc = np.unique((around[:, np.newaxis] + np.arange(-6, 7)).ravel())
    zeros = np.zeros(len(acc), np.int64)
    return {"i": {"acc": acc, "bias": zeros, "b": zeros + 1, "c": zeros + 2, "format": zeros + NAMES.index(name), "hold": zeros,
                  "tag": zeros}}


@pytest.mark.parametrize("name", NAMES)
def test_lane_rounds_every_quarter(lane: Harness, name: str) -> None:
    design = replace(LANE, stimulus=partial(quarters, name))
    cases = run_cases(design, lane, least=1)
    assert cases.count == len(quarters(name, np.random.default_rng(0))["i"]["acc"]) > 60


def test_every_code_is_decoded(tmp_path: Path) -> None:
    design = find("decode_vector_x2")
    rows = design.stimulus(np.random.default_rng(0))["i"]
    for column in np.asarray(rows["a"]).T:
        assert len(set(zip(column.tolist(), np.asarray(rows["format"]).tolist(), strict=True))) == 256 * len(NAMES)
    assert run_cases(design, harness(design, folder=tmp_path, optimize=0), least=1).count >= 256 * len(NAMES)


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda: VectorDecode(lanes=0, formats=NAMES, tag=1), ValueError, "Lanes must be an integer of at least 1, not 0"),
    (lambda: VectorDecode(lanes=2, formats=("mxfp4",), tag=1), ValueError, f"Formats must be some of {', '.join(NAMES)}, not ('mxfp4',)"),
    (lambda: WeightDecode(rows=2, columns=2, formats=()), ValueError, f"Formats must be some of {', '.join(WEIGHTS)}, not ()"),
    (lambda: WeightDecode(rows=0, columns=2, formats=NAMES), ValueError, "Rows must be an integer of at least 1, not 0"),
    (lambda: FormatLane(formats=("fp16",), depth=1), ValueError, f"Formats must be some of {', '.join(NAMES)}, not ('fp16',)"),
    (lambda: FormatLane(formats=NAMES, depth=0), ValueError, "Depth must be an integer of at least 1, not 0"),
    (lambda: Accumulate(lanes=2, width=41, slots=8, room=8, acc_width=40), ValueError,
     "Width of sums must be an integer of at least 41, not 40"),
    (lambda: Reduce(lanes=2, width=19, acc_width=32), ValueError, "Width of results must be an integer of at least 35, not 32"),
    (lambda: WeightStationary(2, 2, sign_magnitude=True, elastic=True), ValueError,
     "Array of signs and magnitudes must not be packed, elastic or of given widths"),
])
def test_refused(make: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        make()


LIST = "a list of int8 and any of int4, e4m3, e2m1, posit8_0, posit4_1, mxfp4"


@pytest.mark.parametrize(("changes", "message"), [
    ({"formats": ("e4m3",)}, f"formats must be {LIST}, not ('e4m3',)"),
    ({"formats": ("int8", "int8")}, f"formats must be {LIST}, not ('int8', 'int8')"),
    ({"formats": ("int8", "bf16")}, f"formats must be {LIST}, not ('int8', 'bf16')"),
    ({"formats": "int8"}, "formats must be a list, not 'int8'"),
    ({"packed": True}, "packed must be false where there are formats other than int8, not True"),
    ({"requant": "serial"}, "requant must be 'parallel' where there are formats other than int8, not 'serial'"),
])
def test_configuration_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(MantissaError, match=f"^{re.escape('Configuration key ' + message)}$"):
        replace(load("formats"), **changes)  # pyright: ignore[reportArgumentType]


def test_formats_come_back() -> None:
    for formats in (WEIGHTS, ("int8",), ("int8", "mxfp4", "e4m3")):
        config: Config = replace(load("formats"), formats=formats)
        capability = Capability.of(config, bytes(8))
        assert capability.formats == tuple(name for name in WEIGHTS if name in formats)
        assert Capability.unpack(capability.pack()) == capability
    # int8 alone is what devices without the register report
    assert Capability.of(load("sim"), bytes(8)).pack()[52:56] == bytes(4)


def test_layer_in_a_format_the_device_does_not_have() -> None:
    tensors = [Tensor(name=name, shape=(1, 4), onnx=(4,), scale=1.0, zero_point=0, format="e2m1") for name in "xy"]
    graph = Graph(name="g", tensors={t.name: t for t in tensors}, nodes=(Rescale(name="r", inputs=("x",), output="y"),), input="x",
                  output="y")
    assert compile(graph, Capability.of(load("formats"), bytes(8)), check=True).checks
    with pytest.raises(MantissaError, match=r"^Layer r must be in formats of the device \(int8\), not e2m1$"):
        compile(graph, Capability.of(load("sim"), bytes(8)))
