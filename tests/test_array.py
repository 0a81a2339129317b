# amaranth: UnusedElaboratable=no
"""Integer arrays against their golden functions, their pace, and what they refuse."""
from __future__ import annotations

from pathlib import Path
import re
from collections.abc import Callable

import numpy as np
import pytest

from mantissa.design import Design
from mantissa.hw.array import ArrayExact, ArrayOf, OutputStationary, SliceStationary, WeightStationary, mac_array
from mantissa.hw.array_widths import exact_width
from mantissa.hw.designs_array import DESIGNS, output_stationary, slice_stationary, weight_stationary
from mantissa.hw.designs_array_of import array_exact, array_of
from mantissa.hw.catalog import find
from mantissa.hw.designs_mac import mac_digits, mac_lut
from mantissa.hw.mac_lut import MacLut
from mantissa.hw.multiply_lut import MultiplyLut
from mantissa.hw.payload import used
from mantissa.sim_tb.exhaustive import harness, measure
from mantissa.sim_tb.simulate import check

FOLDER = Path(__file__).parent.parent / "build" / "verify"

ODD = (
    weight_stationary(1, 2), weight_stationary(1, 2, packed=True), weight_stationary(5, 4, packed=True),
    weight_stationary(1, 1, elastic=True), weight_stationary(3, 4, packed=True, elastic=True),
    weight_stationary(3, 1, a_width=2, b_width=2), weight_stationary(2, 2, a_width=16, b_width=16),
    output_stationary(1, 1, depth=1), output_stationary(3, 2, packed=True, depth=12), output_stationary(2, 3, acc_width=7, wraps=True),
    slice_stationary(1, 2), slice_stationary(3, 4, acc_width=12, wraps=True),
    array_of(mac_lut(4, 4), 1, 3), array_of(mac_digits(1), 2, 1),
    *(array_exact(fmt, 2, 1, depth=3, cells=False) for fmt in ("e2m1", "e2m3", "e3m2", "posit4_1", "ue4m3", "pot4", "post3")),
    array_exact("e4m3", 1, 3),
)


@pytest.mark.parametrize("design", ODD, ids=lambda design: design.name)
def test_odd_shapes(design: Design) -> None:
    assert check(design, stall="random") > 40


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_catalogue(design: Design) -> None:
    assert check(design, stall="bursty", seed=1, most=800) > 40


def test_names_are_distinct() -> None:
    assert len({design.name for design in DESIGNS + ODD}) == len(DESIGNS + ODD)


@pytest.mark.parametrize(("a_width", "b_width", "terms"), [(8, 8, 1), (8, 8, 16), (8, 4, 12), (2, 2, 3), (16, 16, 1024)])
def test_exact_width_is_least(a_width: int, b_width: int, terms: int) -> None:
    most = terms * (1 << a_width - 1) * (1 << b_width - 1)
    width = exact_width(a_width, b_width, terms)
    assert most < 1 << width - 1
    assert most >= 1 << width - 2


@pytest.mark.parametrize("packed", [False, True])
def test_every_operand_pair(packed: bool) -> None:
    """All 65,536 products of each column, the other column's weights shuffled."""
    rng = np.random.default_rng(3)
    design = output_stationary(1, 2, packed=packed, depth=1)
    a, b = (grid.reshape(-1) for grid in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    n = slice(None, None, 16)
    columns = np.stack([b, rng.permutation(b)], 1)[n]
    ones = np.ones(len(columns), np.int64)
    given = Design(name=design.name, summary="", params={}, component=design.component, golden=design.golden,
                   stimulus=lambda _: {"i": {"a": a[n, np.newaxis], "b": columns, "first": ones, "last": ones}})
    assert check(given, stall="none") == 4096


REFUSED: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: WeightStationary(0, 2), ValueError, "Rows must be a positive integer, not 0"),
    (lambda: WeightStationary(2, 2.0), TypeError, "Columns must be a positive integer, not 2.0"),  # pyright: ignore[reportArgumentType]
    (lambda: WeightStationary(2, 3, True), ValueError, "Columns must be even when packed, not 3"),
    (lambda: WeightStationary(2, 2, True, a_width=4), ValueError, "Packed operands must be 8 by 8 bits, not 4 by 8"),
    (lambda: WeightStationary(2, 2, a_width=1), ValueError, "Width of a must be an integer between 2 and 16, not 1"),
    (lambda: WeightStationary(2, 2, b_width=17), ValueError, "Width of b must be an integer between 2 and 16, not 17"),
    (lambda: OutputStationary(True, 2), TypeError, "Rows must be a positive integer, not True"),
    (lambda: OutputStationary(2, 3, True), ValueError, "Columns must be even when packed, not 3"),
    (lambda: OutputStationary(2, 2, True, b_width=4), ValueError, "Packed operands must be 8 by 8 bits, not 8 by 4"),
    (lambda: OutputStationary(2, 2, depth=0), ValueError, "Depth must be a positive integer, not 0"),
    (lambda: OutputStationary(2, 2, acc_width=0), ValueError, "Accumulator width must be a positive integer, not 0"),
    (lambda: OutputStationary(4, 4, acc_width=16), ValueError,
     "Accumulator width must be at least 26 for 1024 products of 8 by 8 bits, not 16, unless wraps=True"),
    (lambda: OutputStationary(2, 2, wraps=0), TypeError, "Wraps must be True or False, not 0"),  # pyright: ignore[reportArgumentType]
    (lambda: SliceStationary(2, 2, acc_width=25), ValueError,
     "Accumulator width must be at least 26 for 1024 products of 8 by 8 bits, not 25, unless wraps=True"),
    (lambda: SliceStationary(2, 3), ValueError, "Columns must be even in slices, not 3"),
    (lambda: SliceStationary(2, 2, acc_width=55), ValueError, "Accumulator width must be at most 54 in slices, not 55"),
    (lambda: SliceStationary(2, 2, depth=2.5), TypeError, "Depth must be a positive integer, not 2.5"),  # pyright: ignore[reportArgumentType]
    (lambda: ArrayOf(0, 2, lambda: MacLut(8, 8)), ValueError, "Rows must be a positive integer, not 0"),
    (lambda: ArrayOf(1, 1, lambda: MultiplyLut(4, 4)), ValueError,
     "Element of an array must have an input 'first', and that of MultiplyLut is a, b"),
    (lambda: mac_array(2, 2, "weight_stationary", element=lambda: MacLut(8, 8)), ValueError,
     "Dataflow must be 'output_stationary' for elements that accumulate, not 'weight_stationary'"),
    (lambda: ArrayExact(2, 0, "posit8_0"), ValueError, "Columns must be a positive integer, not 0"),
    (lambda: ArrayExact(2, 2, "e5m2"), ValueError, "Format must have values of at most 18 bits for a DSP, not 33 as 'e5m2'"),
    (lambda: ArrayExact(2, 2, "posit8_0", depth=0), ValueError, "Depth must be a positive integer, not 0"),
    (lambda: ArrayExact(2, 2, "e2m1", depth=1 << 155), ValueError,
     f"Accumulator must have at most 160 bits, not the 164 of {1 << 155} products of e2m1"),
    (lambda: mac_array(2, 2, "weight_stationary", fmt="e2m1"), ValueError,
     "Dataflow must be 'output_stationary' for elements that accumulate, not 'weight_stationary'"),
    (lambda: mac_array(2, 2, "output_stationary", element=lambda: MacLut(8, 8), fmt="e2m1"), ValueError,
     "Format must not be given for elements that have their own, not 'e2m1'"),
    (lambda: mac_array(2, 2, "systolic"), ValueError,
     "Dataflow must be 'output_stationary' or 'weight_stationary', not 'systolic'"),
)


@pytest.mark.parametrize(("make", "error", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_refuses(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


def test_array_by_dataflow() -> None:
    assert isinstance(used(mac_array(2, 2, "weight_stationary", packed=True)), WeightStationary)
    assert isinstance(used(mac_array(2, 2, "output_stationary", depth=5)), OutputStationary)
    assert isinstance(used(mac_array(2, 2, "output_stationary", element=lambda: used(MacLut(8, 8)))), ArrayOf)
    assert isinstance(used(mac_array(2, 2, "output_stationary", fmt="posit8_0")), ArrayExact)


def test_edge_decoding_keeps_time() -> None:
    """As long as with a decoder in each element."""
    edge, inside = find("array_2x2_posit8_0_acc34_edge"), find("array_2x2_mac_posit8_0_acc34_exact_dsp")
    timing = [measure(design, harness(design, folder=FOLDER, optimize=0)) for design in (edge, inside)]
    assert timing[0] == timing[1]
