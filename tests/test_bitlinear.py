"""BitLinear's integers against rationals, and against the float formulae that they stand for."""
from __future__ import annotations

from fractions import Fraction
from math import sqrt
from pathlib import Path
import sys

import numpy as np
import pytest

from mantissa.bitlinear import BitLinear, Dyadic, dyadic, gated_square, output_scale, skip_zeros
from mantissa.errors import MantissaError

EXAMPLE = Path(__file__).parent.parent / "examples" / "ternary"


def test_dyadic_is_nearest() -> None:
    rng = np.random.default_rng(1)
    for value in [*np.exp(rng.uniform(-30, 10, 300)), 1.0, 0.5, 1 - 2.0 ** -20, 255.9]:
        for bits in (2, 8, 16, 32):
            multiplier, shift = (int(v) for v in dyadic(float(value), bits))
            assert 1 << bits - 1 <= multiplier < 1 << bits
            assert abs(Fraction(multiplier) / Fraction(2) ** shift / Fraction(float(value)) - 1) <= Fraction(1, 1 << bits)


def test_dyadic_of_8_bits_is_bfloat16() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    for value in np.exp(np.random.default_rng(2).uniform(-20, 5, 500)):
        multiplier, shift = dyadic(float(value), 8)
        assert float(multiplier) * 2.0 ** -float(shift) == float(bfloat16(value))


@pytest.mark.parametrize("bits", (8, 12, 16, 18))
def test_output_scale_is_within_its_bound(bits: int) -> None:
    rng = np.random.default_rng(bits)
    worst = 0.0
    for _ in range(4000):
        squares = int(rng.integers(1, 1 << 60)) >> int(rng.integers(0, 60))
        largest = (int(rng.integers(1, 1 << 60)) >> int(rng.integers(0, 60))) | 1
        eps = int(rng.integers(0, 1 << 20)) * int(rng.integers(0, 2))
        constant = Dyadic(np.asarray(int(rng.integers(1 << bits - 1, 1 << bits))), np.asarray(int(rng.integers(30, 50))))
        wanted = float(constant.multiplier) / 2.0 ** float(constant.shift) * largest / sqrt(max(squares + eps, 1))
        b, c = (int(v) for v in output_scale(squares, largest, constant, eps, bits=bits))
        if wanted > (1 << bits) - 1:
            assert b / 2.0 ** c >= ((1 << bits) - 1) * (1 - 2.0 ** -15 - 2.0 ** -bits)
        elif wanted >= 2.0 ** (bits - 64 + 1):
            worst = max(worst, abs(b / 2.0 ** c / wanted - 1))
    assert 2.0 ** -bits / 4 < worst < 2.0 ** -15 + 2.0 ** -bits


def test_output_scale_at_its_ends() -> None:
    one = Dyadic(np.asarray(1 << 15), np.asarray(15))
    assert output_scale(5, 0, one) == (0, 63)
    assert output_scale(0, 4, one) == output_scale(1, 4, one) == (1 << 15, 13)
    assert output_scale(1, 1 << 40, one) == ((1 << 16) - 1, 0)
    assert output_scale(1, 1, Dyadic(np.asarray(1 << 15), np.asarray(15 + 60))) == (8, 63)
    assert output_scale(1, 1, Dyadic(np.asarray(1 << 15), np.asarray(127))) == (0, 63)


@pytest.mark.parametrize("width", (4, 16, 24))
def test_gated_square_is_exact(width: int) -> None:
    rng = np.random.default_rng(width)
    for bits in (2, 6, 16, 21, 40):
        gate, up = (rng.integers(-1 << bits - 1, 1 << bits - 1, (3, 50)) for _ in range(2))
        found, exponent = gated_square(gate, up, width)
        for row in range(3):
            exact = [max(int(g), 0) ** 2 * int(u) for g, u in zip(gate[row], up[row], strict=True)]
            e = 0
            while max(map(abs, exact)) >> e >= 1 << width - 1:
                e += 1
            assert int(exponent[row]) == e
            top = (1 << width - 1) - 1
            assert found[row].tolist() == [max(-top, min(top, round(Fraction(v, 1 << e)))) for v in exact]


@pytest.mark.parametrize("bits", (8, 16))
def test_layer_against_floats(bits: int) -> None:
    """BitNet's formulae in float64: norm, gain, absmax codes, product, scales; within half a step and 2^(1-bits) + 2^-15 of the output.

    Where float64 comes within 1e-9 of a tie, its code may be the other one, and the integers' is taken.
    """
    rng = np.random.default_rng(4)
    rows, columns, x_step, gain_step, y_step, eps = 96, 320, 2.0 ** -9, 2.0 ** -10, 2.0 ** -9, 1e-5
    trits = rng.choice([-1, 0, 1], (rows, columns), p=[0.3, 0.4, 0.3])
    m = 0.07
    gain = rng.integers(300, 2000, columns)
    for size in (20, 1000, 30000):
        x, residual = rng.integers(-size, size + 1, (40, columns)), rng.integers(-9000, 9000, (40, rows))
        layer = BitLinear.of(trits, m, gain, gain_step, x_step, y_step, eps=eps, bits=bits)
        values = x * x_step
        h = values / np.sqrt((values ** 2).mean(-1, keepdims=True) + eps) * (gain * gain_step)
        s = 127 / np.maximum(np.abs(h).max(-1, keepdims=True), 1e-5)
        codes = np.clip(np.rint(h * s), -128, 127)
        exact = layer.quantise(x).codes
        near = np.abs(np.abs(h * s % 1) - 0.5) < 1e-9
        assert (np.abs(exact - codes) <= near).all() and near.mean() < 0.02
        codes = np.where(near, exact, codes)
        y = codes @ trits.T * m / s
        found = layer(x, residual) - residual
        assert (np.abs(found * y_step - y) <= 0.5 * y_step + (2.0 ** (1 - bits) + 2.0 ** -15) * np.abs(y) + 1e-12).all()
        assert (np.abs(found) > 50).mean() > 0.5


def test_layer_saturates() -> None:
    layer = BitLinear.of(np.ones((1, 10), int), 1.0, np.full(10, 1024), 2.0 ** -10, 1.0, 2.0 ** -12)
    assert layer(np.full(10, 9), [32000]).tolist() == [32767]
    assert layer(np.full(10, -9), [-32000]).tolist() == [-32768]


def test_zeros_are_skipped() -> None:
    rng = np.random.default_rng(6)
    codes = rng.integers(-128, 128, 200) * (rng.random(200) < 0.3)
    weights = rng.choice([-1, 0, 1], (50, 200))
    for columns, cycles in ((1, 1), (5, 7), (40, 2), (64, 1)):
        found = skip_zeros(codes, columns, cycles)
        assert (weights[:, found.places] @ found.value.astype(int) == weights @ codes).all() and found.value.all()
        empty = sum(not codes[n:n + columns].any() for n in range(0, 200, columns))
        assert found.saved == empty * cycles
    assert skip_zeros(codes).saved == (codes == 0).sum() > 100


@pytest.mark.parametrize("call, sentence", [
    (lambda: dyadic(0), "Scale must be a positive number, not 0"),
    (lambda: dyadic(float("nan")), "Scale must be a positive number, not nan"),
    (lambda: dyadic(1, 33), "Multiplier must have 2 to 32 bits, not 33"),
    (lambda: output_scale(1, 1, dyadic(1), bits=19), "Multiplier must have 2 to 18 bits, not 19"),
    (lambda: output_scale(1, 1, dyadic(1, 8)), "Constant's multiplier must have 16 bits, not be 128"),
    (lambda: output_scale(-1, 1, dyadic(1)), "Squares, largest and eps must not be negative"),
    (lambda: gated_square([1], [1], 33), "Width must be between 2 and 32 bits, not 33"),
    (lambda: gated_square([1], [1, 2]), r"Gate and up must be of one shape \(..., K\), not \(1,\) and \(2,\)"),
    (lambda: skip_zeros([0.5]), r"Activations must be integers \(K,\), not float64 \(1,\)"),
    (lambda: skip_zeros([1], 0), "Columns at once and their cycles must be positive, not 0 and 1"),
])
def test_bad_input(call: object, sentence: str) -> None:
    with pytest.raises(MantissaError, match=f"^{sentence}$"):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("unit, params, sentence", [
    ("rms_quantize.RmsQuantize", {"width": 33}, "Width must be between 2 and 32 bits, not 33"),
    ("rms_quantize.RmsQuantize", {"gain_width": 1}, "Gain width must be between 2 and 32 bits, not 1"),
    ("rms_quantize.RmsQuantize", {"depth": 1}, "Depth must be an integer of at least 2, not 1"),
    ("output_scale.OutputScale", {"bits": 19}, "Multiplier must have 2 to 18 bits, not 19"),
    ("output_scale.OutputScale", {"squares_width": 0}, "Squares must have 1 to 96 bits, not 0"),
    ("output_scale.OutputScale", {"largest_width": 97}, "Largest must have 1 to 96 bits, not 97"),
    ("scale_add.ScaleAdd", {"acc_width": 8}, "Accumulator must have 9 to 32 bits, not 8"),
    ("scale_add.ScaleAdd", {"bits": 33}, "Multiplier must have 2 to 32 bits, not 33"),
    ("scale_add.ScaleAdd", {"width": True}, "Result must have 2 to 32 bits, not True"),
    ("gated_square.GatedSquare", {"width": 19}, "Width must be between 2 and 18 bits, not 19"),
    ("gated_square.GatedSquare", {"out_width": 33}, "Output width must be between 2 and 32 bits, not 33"),
    ("gated_square.GatedSquare", {"depth": 0}, "Depth must be an integer of at least 2, not 0"),
    ("skip_zeros.SkipZeros", {"width": 1}, "Width must be an integer of at least 2, not 1"),
    ("skip_zeros.SkipZeros", {"depth": 1}, "Depth must be an integer of at least 2, not 1"),
])
def test_bad_units(unit: str, params: dict[str, object], sentence: str) -> None:
    pytest.importorskip("amaranth")
    from importlib import import_module
    module, name = unit.split(".")
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        getattr(import_module(f"mantissa.hw.{module}"), name)(**params)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(sys, "path", [str(EXAMPLE), *sys.path])
    import networks
    return networks


@pytest.mark.parametrize("name, least", (("mlp", 0.95), ("cnn", 0.98)))
def test_digits(networks: object, monkeypatch: pytest.MonkeyPatch, name: str, least: float) -> None:
    """Accuracy of the integers on the held-out images, and that it is the one the file states."""
    pytest.importorskip("sklearn")
    monkeypatch.setattr(sys, "path", [str(EXAMPLE.parent / "digits"), *sys.path])
    from data import split
    _, _, images, labels = split()
    layers, about = networks.load(EXAMPLE / f"{name}.npz")  # type: ignore[attr-defined]
    network = {"mlp": networks.Mlp, "cnn": networks.Cnn}[name](layers)  # type: ignore[attr-defined]
    outputs = network(np.rint(images[:, 0] * 16).astype(np.int64))
    accuracy = float((outputs["last"].argmax(1) == labels).mean())
    assert accuracy == about["accuracy"] >= least and len(labels) == about["images"]
    assert all(np.abs(y).max() < 32768 for y in outputs.values())


def test_transformer(networks: object) -> None:
    """A residual is added to the token that came in, and nothing saturates."""
    layers, _ = networks.load(EXAMPLE / "transformer.npz")  # type: ignore[attr-defined]
    tokens = np.random.default_rng(0).integers(-2000, 2000, (3, 128))
    outputs = networks.Transformer(layers)(tokens)  # type: ignore[attr-defined]
    assert len(layers) == 14 and set(layers) <= set(outputs)
    assert all(0 < np.abs(y).max() < 32767 for y in outputs.values())
    without = layers["0.o"](outputs["0.v"])
    assert (outputs["0.o"] == without + tokens).all()


def test_networks_are_small(networks: object, tmp_path: Path) -> None:
    """The files together, and that saving what was loaded gives the same arrays."""
    files = sorted(EXAMPLE.glob("*.npz"))
    assert len(files) == 3 and sum(file.stat().st_size for file in files) < 300_000
    for file in files:
        networks.save(tmp_path / file.name, *networks.load(file))  # type: ignore[attr-defined]
        with np.load(file) as one, np.load(tmp_path / file.name) as other:
            assert one.files == other.files and all((one[name] == other[name]).all() for name in one.files)
