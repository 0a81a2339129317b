"""Blocks: numbers that share a scale.

A value is element times scale, and in two-level formats times one float32 of the tensor:

* MX (OCP Microscaling 1.0): 32 elements, a power of two as scale;
* NVFP4 and NVINT4: 16 elements, an E4M3 scale of a float32 scale;
* dynamic fixed point (Das et al. 2018): all of a tensor's integers share a power of two.
"""
from __future__ import annotations

from dataclasses import dataclass
from math import frexp
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .boundaries import grid_of
from .codes import Codes, decode, encode, limits, reals
from .errors import MantissaError
from .kinds import Int, SignMagnitude, Values, check_format, check_int, check_name
from .kinds_float import Exponent, Float

__all__ = ["RULES", "WHOLE", "Block", "BlockCodes", "decode_blocks", "encode_blocks", "tensor_scale"]

RULES = ("floor", "ceil", "even", "rceil", "nearest")
"""How a block's scale follows from its largest magnitude; ``nearest`` for scales with a fraction, the others for powers of two."""

WHOLE = 0
"""Size of a block that is the whole tensor."""

_WIDEST = 8
_RANDOM_BITS = 16


@dataclass(frozen=True, kw_only=True)
class Block:
    """Elements that share a scale.

    With ``amax`` the largest magnitude of a block, ``limit`` the largest element and ``E(x) = floor(log2(x))``, the scale's rule is

    ===========  ====================================================================================
    ``floor``    ``2**(E(amax) - E(limit))``: OCP MX 1.0, section 6.3; the largest elements may clip
    ``ceil``     ``2**(ceil(log2(amax)) - E(limit))``
    ``even``     as floor, of ``amax`` rounded half up to as many bits as the largest elements have
    ``rceil``    ``2**ceil(log2(d))``, ``d = float32(float32(amax) * float32(1 / limit))`` (NVIDIA)
    ``nearest``  ``amax / (limit * tensor scale)`` rounded once, half to even, at least normal
    ===========  ====================================================================================

    clamped to what the scale can express; the first four are those of torchao's ``ScaleCalculationMode``. Elements are clipped to
    plus or minus ``limit``, so -128 and -8 are not produced, but decode.

    Parameters
    ----------
    name
        Identifier.
    element
        A signed :class:`Int`, :class:`SignMagnitude` or :class:`Float`; of 8 bits at most under ``nearest``.
    scale
        An :class:`Exponent`, or under ``nearest`` a :class:`Float` of 8 bits at most.
    size
        Elements in a block, or :data:`WHOLE`.
    rule
        One of :data:`RULES`.
    """
    name: str
    element: Int | SignMagnitude | Float
    scale: Exponent | Float
    size: int
    rule: str

    def __post_init__(self) -> None:
        check_name(self.name)
        if not isinstance(self.element, (Int, SignMagnitude, Float)) or not isinstance(self.scale, (Exponent, Float)):
            raise TypeError(f"Block {self.name} must have Int, SignMagnitude or Float elements and an Exponent or Float as scale, "
                            f"not {type(self.element).__name__} and {type(self.scale).__name__}")
        check_int(self.size, f"Size of {self.name}", WHOLE, 1 << 20)
        if self.element.table.min(initial=0, where=np.isfinite(self.element.table)) == 0 or limits(self.element)[1] <= 0:
            raise ValueError(f"Elements of {self.name} must have both signs, not be {self.element.name}")
        allowed = RULES[:-1] if isinstance(self.scale, Exponent) else RULES[-1:]
        if self.rule not in allowed:
            raise ValueError(f"Rule of {self.name} must be {' or '.join(allowed)}, not {self.rule!r}")
        if self.rule == "nearest":
            check_int(self.element.width, f"Width of the elements of {self.name}", 1, _WIDEST)
            check_int(self.scale.width, f"Width of the scales of {self.name}", 1, _WIDEST)

    @property
    def limit(self) -> float:
        """Largest magnitude of an element."""
        return limits(self.element)[1]

    @property
    def bits(self) -> float:
        """Bits a value takes, its part of the scale included."""
        return self.element.width + (self.scale.width / self.size if self.size else 0)


class BlockCodes(NamedTuple):
    """Codes of a tensor in a block format.

    Attributes
    ----------
    scales
        One a block: the tensor's shape with the blocked axis shortened, or no axes if the block is the whole tensor.
    elements
        In the tensor's shape.
    """
    scales: Codes
    elements: Codes


def tensor_scale(fmt: Block, values: npt.ArrayLike) -> float:
    """Float32 scale of a tensor in a two-level format: ``float32(amax / (largest scale * largest element))``.

    Numbers that are not finite are left out; 1 if nothing but zeros is left. At least the smallest normal float32.

    Raises
    ------
    MantissaError
        If ``fmt`` is not a block format or has one level of scale, or the values are so large that theirs is not a float32.
    """
    check_format(fmt, blocks=True)
    _two_level(fmt)
    exact = reals(fmt.name, values)
    amax = np.abs(exact).max(initial=0, where=np.isfinite(exact))
    if amax == 0:
        return 1.0
    with np.errstate(over="ignore"):
        scale = float(np.float32(amax / (limits(fmt.scale)[1] * fmt.limit)))
    if np.isinf(scale):
        raise MantissaError(f"Values of {fmt.name} must be such that their scale is a float32, not as large as {amax:g}")
    return max(scale, 2.0 ** -126)


def encode_blocks(fmt: Block, values: npt.ArrayLike, axis: int = -1, scale: float | None = None, rounding: str = "half_even", *,
                  random: npt.ArrayLike | None = None, random_bits: int = 0) -> BlockCodes:
    """Codes of ``values`` in blocks along ``axis``; an element is rounded once, from the exact quotient.

    A block with a NaN or an infinity gets a NaN for scale, and elements of code 0.

    Parameters
    ----------
    values
        Real numbers, exact in float64. The axis' length must be a multiple of the block's size.
    axis
        Of no importance where the block is the whole tensor.
    scale
        Of the tensor, a positive float32; for two-level formats alone, 1 by default. See :func:`tensor_scale`.
    rounding
        Of the elements, as for :func:`~mantissa.formats.encode`.
    random, random_bits
        As there; at most 16 bits in two-level formats.

    Raises
    ------
    MantissaError
        If ``fmt`` is not a block format, a value is not a real number exact in float64, the axis does not divide into blocks,
        the tensor's scale is not wanted or not a float32, or the random bits are not what the rounding mode needs.
    """
    check_format(fmt, blocks=True)
    exact = reals(fmt.name, values)
    whole = _scale(fmt, scale)
    if rounding == "stochastic" and fmt.rule == "nearest" and isinstance(random_bits, int) and random_bits > _RANDOM_BITS:
        raise MantissaError(f"Random bits of {fmt.name} must be between 1 and {_RANDOM_BITS}, not {random_bits}")
    split = _split(fmt, exact, axis)
    amax = np.abs(split).max(-1, initial=0)
    good = np.isfinite(amax)
    tame = np.where(good[..., None], split, 0.0)
    amax = np.where(good, amax, 0.0)
    nan = np.flatnonzero(np.isnan(fmt.scale.table))
    if fmt.rule == "nearest":
        quotient = _divide(amax, np.float64(fmt.limit * whole))
        scales = encode(fmt.scale, np.maximum(quotient, 2.0 ** (1 - fmt.scale.bias)))
        scaled = _divide(tame, whole * fmt.scale.table[scales][..., None])
    else:
        exponents = _exponents(fmt, amax)
        scales = (exponents + fmt.scale.bias).astype(np.int64)
        scaled = np.ldexp(tame, -exponents[..., None])
        scaled = np.where((scaled == 0) & (tame != 0), np.copysign(5e-324, tame), scaled)
    if not len(nan) and not good.all():
        raise MantissaError(f"Values of {fmt.name} must be finite, its scale having no NaN")
    scales = np.where(good, scales, nan[0] if len(nan) else 0)
    if random is not None:
        random = _split(fmt, np.broadcast_to(np.asarray(random), exact.shape), axis)
    elements = encode(fmt.element, np.clip(scaled, -fmt.limit, fmt.limit), rounding, random=random, random_bits=random_bits)
    return BlockCodes(_scales_back(fmt, scales, axis), _join(fmt, np.where(good[..., None], elements, 0), exact.shape, axis))


def decode_blocks(fmt: Block, codes: BlockCodes, axis: int = -1, scale: float | None = None) -> Values:
    """Values of ``codes``, exact in float64: element times scale, times that of the tensor if there is one.

    Raises
    ------
    MantissaError
        If ``fmt`` is not a block format, a code is out of range, or there is not one scale for each block.
    """
    check_format(fmt, blocks=True)
    whole = _scale(fmt, scale)
    elements = decode(fmt.element, codes.elements)
    split = _split(fmt, elements, axis)
    scales = decode(fmt.scale, codes.scales)
    scales = np.moveaxis(scales, axis, -1) if fmt.size else scales
    if scales.shape != split.shape[:-1]:
        raise MantissaError(f"Scales of {fmt.name} must be one a block, {split.shape[:-1]}, not {scales.shape}")
    return _join(fmt, split * (scales * whole)[..., None], elements.shape, axis)


def _two_level(fmt: Block) -> None:
    if fmt.rule != "nearest":
        raise MantissaError(f"Block format must have two levels of scale for one of the tensor, not be {fmt.name}")


def _scale(fmt: Block, scale: float | None) -> float:
    if scale is None:
        return 1.0
    _two_level(fmt)
    with np.errstate(over="ignore"):
        exact = scale > 0 and np.isfinite(scale) and float(np.float32(scale)) == scale
    if not exact:
        raise MantissaError(f"Scale of the tensor must be a positive float32, not {scale!r}")
    return float(scale)


def _split(fmt: Block, values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """``values`` with the axis last, and blocks along a new one behind it."""
    if fmt.size == WHOLE:
        return values.reshape(-1)
    if not -values.ndim <= axis < values.ndim:
        raise MantissaError(f"Axis must be one of the {values.ndim} of the values, not {axis}")
    moved = np.moveaxis(values, axis, -1)
    if moved.shape[-1] % fmt.size:
        raise MantissaError(f"Axis of {fmt.name} must have a multiple of {fmt.size} values, not {moved.shape[-1]}")
    return moved.reshape(*moved.shape[:-1], moved.shape[-1] // fmt.size, fmt.size)


def _join(fmt: Block, split: npt.NDArray[Any], shape: tuple[int, ...], axis: int) -> npt.NDArray[Any]:
    if fmt.size == WHOLE:
        return split.reshape(shape)
    return np.moveaxis(split.reshape(*split.shape[:-2], -1), -1, axis)


def _scales_back(fmt: Block, scales: Codes, axis: int) -> Codes:
    return np.asarray(np.moveaxis(scales, -1, axis) if fmt.size else scales)


def _exponents(fmt: Block, amax: Values) -> npt.NDArray[np.int64]:
    """Exponents of the scales, within their range; the lowest one where ``amax`` is 0."""
    highest = frexp(fmt.limit)[1] - 1
    if fmt.rule == "rceil":
        with np.errstate(over="ignore", under="ignore"):
            part, exponent = np.frexp(amax.astype(np.float32) * np.float32(1 / fmt.limit))
        exponent = np.where(np.isinf(part), 1 << 10, np.where(part == 0, -1 << 10, exponent - (part == 0.5)))
    else:
        part, exponent = np.frexp(amax)                                    # part is in [0.5, 1)
        step = grid_of(fmt.element).steps[-2]
        fraction = highest + 1 - frexp(step)[1]                            # bits, where elements are largest
        up = {"floor": part < 0, "ceil": part > 0.5, "even": part >= 1 - 2.0 ** -(fraction + 2)}[fmt.rule]
        exponent = exponent - 1 + up - highest
    bias = fmt.scale.bias
    exponent = np.where(amax == 0, -bias, exponent)
    return np.clip(exponent, -bias, (1 << fmt.scale.width) - 2 - bias).astype(np.int64)


def _divide(num: Values, den: Values | np.float64) -> Values:
    """``num / den`` rounded to float64, which is on the exact one's side of every ``b`` for which ``b * den`` is exact in float64.

    If ``num`` is another float64 than ``b * den`` it is off by at least ``2**-53`` of it, so the quotient is off by at least ``2**-53``
    of ``b``, and that does not round to ``b``. Boundaries are such numbers: theirs and the scales' bits are fewer than 53 together.
    """
    with np.errstate(over="ignore", under="ignore"):
        quotient = num / den
    return np.where((quotient == 0) & (num != 0), np.copysign(5e-324, num), quotient)
