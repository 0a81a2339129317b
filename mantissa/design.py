"""The central record: one buildable design, and what is known about it."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

__all__ = ["Design", "Streams", "Transactions", "integers"]

Transactions = Mapping[str, npt.NDArray[Any]]
"""Payload field -> array with one row per transaction."""

Streams = Mapping[str, Transactions]
"""Stream port -> its transactions, in order."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """A component, its golden function, and inputs that exercise it.

    Every port of the component is a stream whose payload is a :class:`StructLayout`; inputs are
    called ``i`` or ``i_x``, outputs ``o`` or ``o_x``. Latency and throughput are not the golden
    function's business: they are measured by the bench.

    Parameters
    ----------
    name
        Identifier: module name, test id, file name, anchor in the documentation.
    summary
        One sentence for tables.
    params
        What was passed to the generator.
    component
        Makes a fresh component.
    golden
        Transactions of every input stream -> transactions of every output stream.
    stimulus
        Transactions of every input stream, a few hundred to a few thousand, directed and random.
    stateless
        Whether each output depends on the input transaction of the same index alone, so that
        the inputs can be enumerated.
    family
        FPGA family whose cells the design instantiates, or :data:`None` when it is portable.
    twin
        Makes the component with its cells described rather than instantiated, for Amaranth's simulator, which has no models of
        them. :data:`None` when the component is portable.
    macs
        Products that one transaction of stream ``i`` stands for, by the format of their operands as :func:`mantissa.formats.get` knows it,
        two with ``*`` between where they differ (``{"int8*int4": 2}``), ``~`` before them where a product's error is not theirs alone; one
        entry a mode where that is chosen at run time. Empty where nothing is multiplied.
    workload
        Transactions that throughput is measured on, where those of ``stimulus`` are not what the design is for.
    """
    name: str
    summary: str
    params: Mapping[str, object]
    component: Callable[[], Component]
    golden: Callable[[Streams], Streams]
    stimulus: Callable[[np.random.Generator], Streams]
    stateless: bool = False
    family: str | None = None
    twin: Callable[[], Component] | None = None
    macs: Mapping[str, float] = field(default_factory=dict)
    workload: Callable[[np.random.Generator], Streams] | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"Design name must be an identifier, not {self.name!r}")
        for operands, macs in self.macs.items():
            if not macs > 0:
                raise ValueError(f"Products of {operands} in a transaction must be more than none, not {macs}")

    @property
    def described(self) -> Callable[[], Component]:
        """Makes a component that Amaranth's simulator can run: the twin if there is one."""
        return self.twin or self.component


def integers(a_width: int, b_width: int) -> str:
    """Format of the operands of products of signed integers, as :attr:`Design.macs` names it."""
    return f"int{a_width}" if a_width == b_width else f"int{a_width}*int{b_width}"
