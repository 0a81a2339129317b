"""Integer MAC arrays."""
from __future__ import annotations

from .array_weight import WeightStationary

__all__ = ["WeightStationary"]
