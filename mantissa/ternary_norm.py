"""RMSNorm and absmax quantisation of a token in one pass over integers.

With ``g = gain * x`` the normalised token is ``g / rms(x)``, and its int8 codes are ``127 * g / max|g|`` rounded: the root mean square
cancels. So one pass collects the sum of squares and the largest magnitude, the codes need no root, and the root goes into the
scale alone. BitNet (HF's modeling code) computes the same in floats, rounded on the way.
"""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import MantissaError
from .rounding import Ints, extent, integers

__all__ = ["Quantised", "norm_absmax"]


class Quantised(NamedTuple):
    """Codes (..., K) and what their scale is made of, (...): :meth:`scale`."""
    codes: npt.NDArray[np.int8]
    squares: Ints
    largest: Ints

    def scale(self, x_step: float, gain_step: float, eps: float = 1e-5) -> npt.NDArray[np.float64]:
        """What codes are multiplied by, (...), for integers that stood for multiples of ``x_step`` and ``gain_step``."""
        mean = self.squares.astype(np.float64) * x_step ** 2 / self.codes.shape[-1]
        return np.asarray(self.largest.astype(np.float64) * (x_step * gain_step) / (127 * np.sqrt(mean + eps)))


def norm_absmax(x: npt.ArrayLike, gain: npt.ArrayLike) -> Quantised:
    """Quantise tokens ``x`` (..., K) normalised with ``gain`` (K,), exactly; ties to even, and a token of zeros to zeros."""
    values, factor = integers(x, "Tokens"), integers(gain, "Gain")
    if factor.ndim != 1 or not factor.size or not values.ndim or values.shape[-1] != factor.size:
        raise MantissaError(f"Tokens must have as many values as the gain, not {values.shape} and {factor.shape}")
    if max(extent(values) * extent(factor) * 508, extent(values) ** 2 * factor.size) >= 1 << 63:
        values, factor = values.astype(object), factor.astype(object)
    product = values * factor
    largest = np.asarray(np.abs(product).max(axis=-1))
    by = np.where(largest == 0, 1, largest)[..., None]
    double = 254 * product + by                             # floor(double / 2 by) is the nearest, ties up
    codes, rest = double // (2 * by), double % (2 * by)
    codes = codes - ((rest == 0) & (codes % 2 == 1))        # and down again where it was one and the result is odd
    return Quantised(codes.astype(np.int8), np.asarray((values * values).sum(axis=-1)), largest)
