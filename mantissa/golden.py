"""Golden model: what every layer computes, exactly, on integers.

Arrays in are integers of any kind; arrays out are int64, or Python integers (dtype object) where 64 bits
could overflow. Sums are exact, so their order can not matter; the one rounding is :func:`requantize`'s.
Images are (N, H, W, C), kernels (rows, columns, C in, C out), padding is ``p``, ``(vertical, horizontal)`` or
``(top, left, bottom, right)``, strides, dilations and window sizes are one number or ``(vertical, horizontal)``.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from .errors import MantissaError
from .fixed import quantized
from .product import exact_product
from .rounding import Ints, bound, check_rounding, extent, integers, scale, shift_right

__all__ = ["average_pool", "conv2d", "matmul", "max_pool", "output_codes", "relu", "requantize", "residual_add", "sum_pool"]

SITES = ("sum", "branch")
_BLOCK = 1 << 24                  # elements of unfolded image at a time


def matmul(a: npt.ArrayLike, b: npt.ArrayLike) -> Ints:
    """Exact product of (..., M, K) and (..., K, N), leading dimensions broadcast.

    As fast as floating point wherever the operands' actual extents prove floating point exact: see :mod:`.product`.
    """
    x, y = _operand(a, "Operand a"), _operand(b, "Operand b")
    if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-2]:
        raise MantissaError(f"Operands of matmul must be (..., M, K) and (..., K, N), not {x.shape} and {y.shape}")
    if y.ndim == 2:
        return exact_product(x.reshape(prod(x.shape[:-1]), x.shape[-1]), y).reshape(*x.shape[:-1], y.shape[1])
    try:
        lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise MantissaError(f"Leading dimensions of matmul must broadcast, not {x.shape[:-2]} and {y.shape[:-2]}") from None
    x, y = np.broadcast_to(x, lead + x.shape[-2:]), np.broadcast_to(y, lead + y.shape[-2:])
    each = [exact_product(x[n], y[n]) for n in np.ndindex(lead)]
    kind = object if any(part.dtype == object for part in each) else np.int64
    return np.array(each, kind).reshape(*lead, x.shape[-2], y.shape[-1])


def conv2d(x: npt.ArrayLike, w: npt.ArrayLike, stride: int | Sequence[int] = 1, pad: int | Sequence[int] = 0,
           dilation: int | Sequence[int] = 1, pad_value: int = 0, groups: int = 1) -> Ints:
    """Exact 2-D cross-correlation of images ``x`` (N, H, W, C) with kernels ``w`` (rows, columns, C / groups, C out).

    ``pad_value`` is what is outside the image. Returns (N, rows, columns, C out).
    """
    image, kernel = _image(x), _operand(w, "Kernel")
    if kernel.ndim != 4:
        raise MantissaError(f"Kernel must be (rows, columns, C in, C out), not {kernel.shape}")
    rows, columns, deep, outs = kernel.shape
    if groups < 1 or outs % groups or deep * groups != image.shape[3]:
        raise MantissaError(f"Kernel must have {image.shape[3]} input channels in {groups} groups that divide {outs} outputs, "
                            f"not {deep} each")
    windows = _windows(_padded(image, pad, pad_value), (rows, columns), stride, dilation)
    n, high, wide = windows.shape[:3]
    out: list[Ints] = []
    step = max(1, _BLOCK // max(1, high * wide * rows * columns * image.shape[3]))
    for start in range(0, max(n, 1), step):
        part = windows[start:start + step]                  # (n, y, x, C, rows, columns)
        flat = []
        for g in range(groups):
            lanes = part[:, :, :, g * deep:(g + 1) * deep].transpose(0, 1, 2, 4, 5, 3)
            taps = kernel[..., g * (outs // groups):(g + 1) * (outs // groups)].reshape(rows * columns * deep, -1)
            flat.append(matmul(lanes.reshape(-1, rows * columns * deep), taps))
        out.append(np.concatenate(flat, axis=1).reshape(len(part), high, wide, outs))
    return np.concatenate(out)


def requantize(acc: npt.ArrayLike, b: npt.ArrayLike, c: npt.ArrayLike, zero_point: npt.ArrayLike = 0, low: npt.ArrayLike = -128,
               high: npt.ArrayLike = 127, rounding: str = "half_even", bias: npt.ArrayLike = 0) -> Ints:
    """``clamp(round((acc + bias) * b / 2**c) + zero_point, low, high)``; everything broadcasts, so (C,) is per channel.

    ``b`` and ``c`` must not be negative. Roundings are those of :mod:`.rounding`; ``tflite_double`` is what
    TFLite computes with multiplier ``b`` and exponent ``31 - c``.
    """
    scaled = scale(_added(acc, bias), b, c, rounding)
    return bound(_added(scaled, zero_point), low, high)


def output_codes(name: str, acc: npt.ArrayLike, b: npt.ArrayLike, c: npt.ArrayLike, *, bias: npt.ArrayLike = 0, zero_point: int = 0,
                 low: int = -128, high: int = 127) -> npt.NDArray[np.int8]:
    """Codes of a format of :mod:`.fixed`: int8 by :func:`requantize`, any other of ``(acc + bias) * b / 2**c`` units, rounded once.

    Of other formats than int8 ``low`` only says whether negative results become 0: they do if it is 0.
    """
    if name == "int8":
        return np.asarray(requantize(acc, b, c, zero_point, low, high, bias=bias)).astype(np.int8)
    return quantized(name, _added(acc, bias), b, c, relu=low == 0)


def residual_add(values: Sequence[npt.ArrayLike], biases: Sequence[npt.ArrayLike], multipliers: Sequence[npt.ArrayLike],
                 shift: npt.ArrayLike, zero_point: npt.ArrayLike = 0, low: npt.ArrayLike = -128, high: npt.ArrayLike = 127,
                 rounding: str = "half_even", rounding_site: str = "sum") -> Ints:
    """Two tensors brought to one scale and added.

    Parameters
    ----------
    values, biases, multipliers
        One per branch; branch ``n`` stands for ``(values[n] + biases[n]) * multipliers[n] / 2**shift``.
    rounding_site
        ``sum``: ``clamp(round(sum of the branches) + zero_point, low, high)``, one rounding. ``branch``: each branch is
        rounded, then added: what HAWQ computes.
    """
    check_rounding(rounding)
    if rounding_site not in SITES:
        raise MantissaError(f"Rounding site must be one of {', '.join(SITES)}, not {rounding_site!r}")
    if not len(values) == len(biases) == len(multipliers) == 2:
        raise MantissaError("Residual add must have 2 values, biases and multipliers, "
                            f"not {len(values)}, {len(biases)} and {len(multipliers)}")
    branches = [_added(value, bias) for value, bias in zip(values, biases, strict=True)]
    if rounding_site == "branch":
        parts = [scale(x, m, shift, rounding) for x, m in zip(branches, multipliers, strict=True)]
        total = _added(parts[0], parts[1])
    else:
        products = [scale(x, m, 0) for x, m in zip(branches, multipliers, strict=True)]
        total = shift_right(_added(products[0], products[1]), shift, rounding)
    return bound(_added(total, zero_point), low, high)


def relu(x: npt.ArrayLike, zero_point: npt.ArrayLike = 0) -> Ints:
    """``max(x, zero_point)``."""
    return np.asarray(np.maximum(integers(x, "Values"), integers(zero_point, "Zero point")))


def max_pool(x: npt.ArrayLike, kernel: int | Sequence[int], stride: int | Sequence[int] = 1, pad: int | Sequence[int] = 0,
             dilation: int | Sequence[int] = 1) -> Ints:
    """Largest of each window of images (N, H, W, C); what is outside the image never wins."""
    image = integers(_image(x), "Image")
    size = _pair(kernel, "Kernel", 1)
    least = int(image.min()) if image.size else 0
    windows = _windows(_padded(image, pad, least), size, stride, dilation)
    sides = _sides(pad)
    if max(sides[0], sides[2]) >= size[0] or max(sides[1], sides[3]) >= size[1]:
        raise MantissaError(f"Padding of max_pool must be smaller than its kernel {size}, not {sides}")
    return np.asarray(windows.max(axis=(4, 5)))


def sum_pool(x: npt.ArrayLike, kernel: int | Sequence[int], stride: int | Sequence[int] = 1, pad: int | Sequence[int] = 0,
             dilation: int | Sequence[int] = 1, pad_value: int = 0) -> Ints:
    """Exact sum of each window of images (N, H, W, C); ``pad_value`` is what is outside the image, and counts."""
    image = integers(_image(x), "Image")
    size = _pair(kernel, "Kernel", 1)
    if max(extent(image), abs(pad_value)) * size[0] * size[1] >= 1 << 63:
        image = image.astype(object)
    windows = _windows(_padded(image, pad, pad_value), size, stride, dilation)
    total = windows[..., 0, 0] * 0
    for y in range(size[0]):
        for z in range(size[1]):
            total = total + windows[..., y, z]
    return total


def average_pool(x: npt.ArrayLike, kernel: int | Sequence[int], b: npt.ArrayLike, c: npt.ArrayLike, *,
                 stride: int | Sequence[int] = 1, pad: int | Sequence[int] = 0, pad_value: int = 0, bias: npt.ArrayLike = 0,
                 zero_point: npt.ArrayLike = 0, low: npt.ArrayLike = -128, high: npt.ArrayLike = 127,
                 rounding: str = "half_even") -> Ints:
    """Sum of each window, requantized: ``b / 2**c`` holds the division by the window's size, rounded with the rest."""
    total = sum_pool(x, kernel, stride, pad, pad_value=pad_value)
    return requantize(total, b, c, zero_point, low, high, rounding, bias)


def _operand(values: npt.ArrayLike, what: str) -> Ints:
    """Integers of any size as they are: widening them first would cost more than the product."""
    array = np.asarray(values)
    return array if array.dtype.kind == "i" or array.dtype.kind == "u" and array.dtype.itemsize < 8 else integers(array, what)


def _added(a: npt.ArrayLike, b: npt.ArrayLike) -> Ints:
    """Exact sum."""
    x, y = integers(a, "Values"), integers(b, "Bias")
    if extent(x) + extent(y) >= 1 << 63:
        x, y = x.astype(object), y.astype(object)
    return np.asarray(x + y)


def _image(x: npt.ArrayLike) -> Ints:
    image = _operand(x, "Image")
    if image.ndim != 4:
        raise MantissaError(f"Image must be (N, H, W, C), not {image.shape}")
    return image


def _whole(value: object, what: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise MantissaError(f"{what} must be integers of at least {least}, not {value!r}")
    return int(value)


def _pair(value: int | Sequence[int], what: str, least: int) -> tuple[int, int]:
    both = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(both) != 2:
        raise MantissaError(f"{what} must be one number or two, not {value!r}")
    return _whole(both[0], what, least), _whole(both[1], what, least)


def _sides(pad: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right."""
    given = tuple(pad) if isinstance(pad, Sequence) else (pad,)
    if len(given) not in (1, 2, 4):
        raise MantissaError(f"Padding must be one number, two or four, not {pad!r}")
    four: Iterator[int] = iter([_whole(side, "Padding", 0) for side in given * (4 // len(given))])
    return next(four), next(four), next(four), next(four)


def _padded(image: Ints, pad: int | Sequence[int], value: int) -> Ints:
    top, left, bottom, right = _sides(pad)
    if not any((top, left, bottom, right)):
        return image
    if image.dtype != object and not np.iinfo(image.dtype).min <= value <= np.iinfo(image.dtype).max:
        image = image.astype(np.int64 if abs(value) < 1 << 63 else object)
    return np.pad(image, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def _windows(image: Ints, size: tuple[int, int], stride: int | Sequence[int], dilation: int | Sequence[int]) -> Ints:
    """View (N, y, x, C, rows, columns) of every window."""
    (down, across), (tall, wide) = _pair(stride, "Strides", 1), _pair(dilation, "Dilations", 1)
    reach = ((size[0] - 1) * tall + 1, (size[1] - 1) * wide + 1)
    if min(size) < 1 or reach[0] > image.shape[1] or reach[1] > image.shape[2]:
        raise MantissaError(f"Kernel must fit the padded image of {image.shape[1]} x {image.shape[2]}, not cover {reach[0]} x {reach[1]}")
    view = np.lib.stride_tricks.sliding_window_view(image, reach, axis=(1, 2))
    return view[:, ::down, ::across, :, ::tall, ::wide]
