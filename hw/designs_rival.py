"""Catalogue entries of published rivals of the multiplier: L-Mul, powers of two, grouped shift and add, exclusive-nor and count."""
from __future__ import annotations

from .designs_rival_grouped import GROUPED
from .designs_rival_lmul import LMUL
from .designs_rival_power import POWER
from .designs_rival_xnor import XNOR

__all__ = ["DESIGNS"]

DESIGNS = (*LMUL, *POWER, *GROUPED, *XNOR)
