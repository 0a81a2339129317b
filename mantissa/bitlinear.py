"""BitLinear over integers: norm, quantisation, ternary product, output scale, residual; and what lies between two of them.

Tokens are integers in steps that a network chooses once, so a layer is described by integers alone. Only the norm divides, and only the
scale has a root: see :mod:`.ternary_norm` for the codes, :func:`output_scale` for the scale. Widths and rules are ours where nothing else
is said; ``docs/bitlinear.md`` has them together.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import isqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import golden
from .errors import MantissaError
from .rounding import Ints, bound, extent, integers, shift_right
from .ternary import Trits, check_trits
from .ternary_norm import Quantised, norm_absmax
from .ternary_product import TernaryWeights

__all__ = ["BitLinear", "Dyadic", "Skipped", "dyadic", "gated_square", "output_scale", "skip_zeros"]

ROOT_BITS = 18
"""Bits of the root of the sum of squares."""

SHIFT_MOST = 63
"""Largest shift of an output scale."""


class Dyadic(NamedTuple):
    """``multiplier / 2**shift``; arrays of one shape, or two integers."""
    multiplier: Ints
    shift: Ints


class Skipped(NamedTuple):
    """Places and values of a token's non-zero activations, and the cycles that reading columns for them alone saves."""
    places: npt.NDArray[np.int64]
    value: npt.NDArray[np.int8]
    saved: int


def dyadic(value: float, bits: int = 16) -> Dyadic:
    """The dyadic of a ``bits``-bit multiplier nearest to a positive ``value``; of 8 bits it is the bfloat16 nearest to it."""
    if not np.isfinite(value) or value <= 0:
        raise MantissaError(f"Scale must be a positive number, not {value}")
    if not 2 <= bits <= 32:
        raise MantissaError(f"Multiplier must have 2 to 32 bits, not {bits}")
    fraction, exponent = np.frexp(value)
    multiplier, shift = round(float(fraction) * (1 << bits)), bits - int(exponent)
    if multiplier >> bits:
        multiplier, shift = multiplier >> 1, shift - 1
    return Dyadic(np.asarray(multiplier), np.asarray(shift))


def output_scale(squares: npt.ArrayLike, largest: npt.ArrayLike, constant: Dyadic, eps: int = 0, *, bits: int = 16) -> Dyadic:
    """``constant * largest / sqrt(squares + eps)`` as dyadics, exactly by this rule.

    ``s = squares + eps``, at least 1, is shifted by an even number of bits, down or up, until it has 35 or 36; its root ``t``, rounded
    down, has then 18. ``largest``, normalised to 18 bits (down: rounded down), over ``t``, normalised again and rounded down, is a number
    of 18 bits; times the constant's multiplier (``bits`` bits), it is rounded half up to ``bits``. The relative error is below
    ``2**-15 + 2**-bits``. A scale smaller than ``2**(bits - 64)`` loses low bits of its multiplier, half up; the largest shift is 63. One
    above ``2**bits - 1`` becomes that; of a token of zeros it is 0.
    """
    if not 2 <= bits <= 18:
        raise MantissaError(f"Multiplier must have 2 to 18 bits, not {bits}")
    by, c0 = int(constant.multiplier), int(constant.shift)
    if not 1 << bits - 1 <= by < 1 << bits:
        raise MantissaError(f"Constant's multiplier must have {bits} bits, not be {by}")
    sums, most = np.broadcast_arrays(integers(squares, "Squares"), integers(largest, "Largest"))
    if sums.size and (sums.min() < 0 or most.min() < 0) or eps < 0:
        raise MantissaError("Squares, largest and eps must not be negative")
    found = [_scale(int(s) + eps, int(v), by, c0, bits) for s, v in zip(sums.flat, most.flat, strict=True)]
    b, c = (np.array([pair[k] for pair in found], np.int64).reshape(sums.shape) for k in range(2))
    return Dyadic(b, c)


def _scale(squares: int, largest: int, by: int, c0: int, bits: int) -> tuple[int, int]:
    if not largest:
        return 0, SHIFT_MOST
    half = -(-max(squares, 1).bit_length() // 2) - ROOT_BITS             # bits that the root is too long by
    root = isqrt(_shifted(max(squares, 1), 2 * half))
    over = largest.bit_length() - ROOT_BITS
    top = _shifted(largest, over)
    less = top < root                                                   # both have 18 bits: the quotient is 1/2 to 2
    quotient = (top << ROOT_BITS - 1 + less) // root
    product = quotient * by                                             # 18 + bits bits, or one less
    shift = c0 + ROOT_BITS - 1 + less - over + half
    cut = product.bit_length() - bits
    b, c = (product + (1 << cut - 1)) >> cut, shift - cut
    if b >> bits:
        b, c = b >> 1, c - 1
    if c < 0:
        return (1 << bits) - 1, 0
    if c > SHIFT_MOST:
        excess = min(c - SHIFT_MOST, bits + 1)
        b, c = (b + (1 << excess - 1)) >> excess, SHIFT_MOST
    return b, c


def _shifted(value: int, right: int) -> int:
    return value >> right if right >= 0 else value << -right


def gated_square(gate: npt.ArrayLike, up: npt.ArrayLike, width: int = 16) -> tuple[npt.NDArray[np.int64], Ints]:
    """``relu(gate)**2 * up`` of tokens (..., K), as integers of ``width`` bits with one exponent a token: values, exponents.

    The exponent is the least, 0 or more, with which the largest magnitude, rounded down, has ``width - 1`` bits; values are rounded half
    to even and bounded (only the largest can round up to one more than fits).
    """
    if not 2 <= width <= 32:
        raise MantissaError(f"Width must be between 2 and 32 bits, not {width}")
    a, b = integers(gate, "Gate"), integers(up, "Up")
    if a.shape != b.shape or not a.ndim or not a.shape[-1]:
        raise MantissaError(f"Gate and up must be of one shape (..., K), not {a.shape} and {b.shape}")
    if extent(a) ** 2 * extent(b) >= 1 << 62:
        a, b = a.astype(object), b.astype(object)
    product = np.maximum(a, 0) ** 2 * b
    magnitude = np.asarray(np.abs(product).max(axis=-1))
    exponent = np.array([max(0, int(v).bit_length() - (width - 1)) for v in magnitude.flat], np.int64).reshape(magnitude.shape)
    top = (1 << width - 1) - 1
    return bound(shift_right(product, exponent[..., None]), -top, top).astype(np.int64), exponent


def skip_zeros(codes: npt.ArrayLike, columns_at_once: int = 1, column_cycles: int = 1) -> Skipped:
    """What is read of weights that lie column by column, for a token (K,).

    Columns come in groups of ``columns_at_once``, each of ``column_cycles``; a group is skipped if its activations are all zero.
    """
    token = np.asarray(codes)
    if token.ndim != 1 or token.dtype.kind not in "iu":
        raise MantissaError(f"Activations must be integers (K,), not {token.dtype} {token.shape}")
    if columns_at_once < 1 or column_cycles < 1:
        raise MantissaError(f"Columns at once and their cycles must be positive, not {columns_at_once} and {column_cycles}")
    padded = np.pad(token, (0, -token.size % columns_at_once)).reshape(-1, columns_at_once)
    index = np.flatnonzero(token)
    return Skipped(index, token[index].astype(np.int8), int((~padded.any(axis=1)).sum()) * column_cycles)


@dataclass(frozen=True, eq=False)
class BitLinear:
    """A layer as integers: ``layer(x)`` is its output, and the other methods are the steps it is made of.

    Parameters
    ----------
    trits
        Weights (N, K).
    gain
        Gain of the norm (K,), integers; of a convolution, of all values of the image, K being those.
    constant
        ``m * gain_step * sqrt(K) / (127 * y_step)``, for weights that stand for ``m`` times trits, a gain in steps of ``gain_step``
        and outputs in steps of ``y_step``: :meth:`of` makes it.
    eps
        ``eps * K / x_step**2``, rounded.
    width
        Bits of the outputs, which saturate.
    """
    trits: Trits
    gain: Ints
    constant: Dyadic
    eps: int = 0
    width: int = 16
    bits: int = 16

    @classmethod
    def of(cls, trits: npt.ArrayLike, m: float, gain: npt.ArrayLike, gain_step: float, x_step: float, y_step: float, *, eps: float = 1e-5,
           width: int = 16, bits: int = 16) -> BitLinear:
        """The layer of a scale ``m`` and steps."""
        weights, factor = np.asarray(trits), integers(gain, "Gain")
        scale = m * gain_step * np.sqrt(factor.size) / (127 * y_step)
        return cls(check_trits(weights), factor, dyadic(float(scale), bits), round(eps * factor.size / x_step ** 2), width, bits)

    def with_bits(self, bits: int) -> BitLinear:
        """The layer with a scale of other bits."""
        value = np.ldexp(float(self.constant.multiplier), -int(self.constant.shift))
        return replace(self, constant=dyadic(float(value), bits), bits=bits)

    @cached_property
    def product(self) -> TernaryWeights:
        """The weights, ready to multiply."""
        return TernaryWeights(self.trits)

    def quantise(self, x: npt.ArrayLike) -> Quantised:
        """Codes of tokens, and what their scale is made of."""
        return norm_absmax(x, self.gain)

    def scale(self, quantised: Quantised) -> Dyadic:
        """What sums are multiplied by, (...)."""
        return output_scale(quantised.squares, quantised.largest, self.constant, self.eps, bits=self.bits)

    def __call__(self, x: npt.ArrayLike, residual: npt.ArrayLike = 0) -> Ints:
        """``clamp(round(sums * scale) + residual)`` (..., N): one rounding, half to even, before the residual is added."""
        quantised = self.quantise(x)
        return self.finish(self.product(quantised.codes), self.scale(quantised), residual)

    def finish(self, sums: npt.ArrayLike, scale: Dyadic, residual: npt.ArrayLike = 0) -> Ints:
        """Sums (..., N), scaled by their token's (...), and the residual added."""
        limit = 1 << self.width - 1
        return golden.requantize(sums, scale.multiplier[..., None], scale.shift[..., None], zero_point=residual, low=-limit, high=limit - 1)
