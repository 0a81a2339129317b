"""The accelerator's formats as integers, against decode and encode of the formats themselves."""
from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from mantissa.errors import MantissaError
from mantissa.fixed import BITS, NAMES, as_codes, as_fixed, limits, unit
from mantissa.formats import decode, encode, get_scalar

each = pytest.mark.parametrize("name", NAMES)


@each
def test_codes_there_and_back(name):
    fmt = get_scalar(name)
    codes = np.flatnonzero(np.isfinite(fmt.table))
    values = as_fixed(name, codes.astype(np.uint8))
    assert all(Fraction(int(value)) * Fraction(2) ** unit(name) == Fraction(float(number))
               for value, number in zip(values, decode(fmt, codes), strict=True))
    same = as_codes(name, values).view(np.uint8)
    assert (same[values != 0] == codes[values != 0]).all() and not as_fixed(name, same[values == 0]).any()
    assert (values.min(), values.max()) == limits(name) and np.abs(values).max() < 1 << BITS


@each
def test_rounds_once(name):
    rng, fmt = np.random.default_rng(1), get_scalar(name)
    number, shift = rng.integers(-1 << 45, 1 << 45, 20_000), rng.integers(8, 46, 20_000)
    steps = np.flatnonzero(np.isfinite(fmt.table))
    middles = (as_fixed(name, rng.choice(steps, 2000).astype(np.uint8)) + as_fixed(name, rng.choice(steps, 2000).astype(np.uint8)))
    number, shift = np.append(number, [*middles * 512, *middles * 512 + 1, *middles * 512 - 1]), np.append(shift, np.full(6000, 10))
    exact = np.ldexp(number.astype(np.float64), unit(name) - shift)                # below 2**53: exact
    assert (as_codes(name, number, shift).view(np.uint8) == encode(fmt, exact)).all()


def test_numbers_of_any_size():
    assert as_codes("e4m3", [1 << 200, -1 << 200], 3).view(np.uint8).tolist() == [0x7e, 0xfe]
    assert as_codes("posit8_0", [1, -1, 0], 200).view(np.uint8).tolist() == [1, 255, 0]
    assert as_codes("int8", [(1 << 100) + 1, 1 << 100, 3 << 100], 101).tolist() == [1, 0, 2]


def test_names():
    with pytest.raises(MantissaError, match="^Format of the accelerator must be one of int8, int4, .*, not 'bf16'$"):
        unit("bf16")
