"""The one-pass norm and quantisation, against rationals and against the two passes in floats that it stands for."""
from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from mantissa.errors import MantissaError
from mantissa.ternary_norm import norm_absmax


@pytest.mark.parametrize("bits", (4, 8, 20, 40, 70))
def test_codes_are_exact(bits: int) -> None:
    rng = np.random.default_rng(bits)
    for _ in range(20):
        x = [int(v) << (bits - 4) for v in rng.integers(-8, 8, 37)]
        gain = [int(v) for v in rng.integers(-4, 5, 37)]
        found = norm_absmax(np.array(x, object), gain)
        g = [a * b for a, b in zip(x, gain, strict=True)]
        most = max(map(abs, g))
        assert found.codes.tolist() == [round(Fraction(127 * v, most)) if most else 0 for v in g]
        assert int(found.largest) == most and int(found.squares) == sum(v * v for v in x)


def test_every_quotient_of_small_integers() -> None:
    """Each magnitude to 300 over each larger one: among them every tie there is."""
    ties = 0
    for most in range(1, 301):
        x = np.arange(-most, most + 1)
        codes = norm_absmax(x, np.ones(len(x), int)).codes
        assert codes.tolist() == [round(Fraction(127 * int(v), most)) for v in x]
        ties += sum(254 * int(v) % (2 * most) == most for v in x)
    assert ties == 552


def test_against_two_passes_in_floats() -> None:
    """BitNet's order: norm, gain, absmax, round; the codes are the same and the product too."""
    rng = np.random.default_rng(3)
    x, gain = rng.integers(-2 ** 19, 2 ** 19, (50, 640)), rng.integers(1, 2 ** 12, 640)
    h = x * 2.0 ** -12
    h = h / np.sqrt((h ** 2).mean(axis=-1, keepdims=True) + 1e-5) * (gain * 2.0 ** -10)
    scaled = h * (127 / np.abs(h).max(axis=-1, keepdims=True))
    found = norm_absmax(x, gain)
    near = np.abs(np.abs(scaled % 1) - 0.5) < 1e-9
    assert (found.codes == np.rint(scaled))[~near].all() and near.mean() < 0.01
    scale = found.scale(2.0 ** -12, 2.0 ** -10)
    assert np.allclose(scale, np.abs(h).max(axis=-1) / 127, rtol=1e-12)


def test_zeros() -> None:
    found = norm_absmax(np.zeros((2, 5), int), np.ones(5, int))
    assert not found.codes.any() and not found.scale(1, 1).any()


@pytest.mark.parametrize("x, gain, sentence", [
    ([1, 2], [1], r"Tokens must have as many values as the gain, not \(2,\) and \(1,\)"),
    ([], [], r"Tokens must have as many values as the gain, not \(0,\) and \(0,\)"),
    ([0.5], [1], "Tokens must .*"),
    ([1], [0.5], "Gain must .*"),
])
def test_bad_input(x: object, gain: object, sentence: str) -> None:
    with pytest.raises(MantissaError, match=f"^{sentence}$"):
        norm_absmax(x, gain)
