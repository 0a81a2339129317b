"""Catalogue entries of the stream plumbing, with their golden functions."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from amaranth.hdl import Module, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
import numpy as np

from ..design import Design, Streams
from .merge import Arbiter, Route
from .stream import Broadcast, Join, Queue, Skid
from .width import Deserialize, Serialize

__all__ = ["DESIGNS", "Crossing"]

PAYLOAD = data.StructLayout({"data": signed(8), "tag": 4})
COUNT = 600


class Crossing(wiring.Component):
    """``n`` streams through one: an :class:`Arbiter` followed by a :class:`Route`.

    Parameters
    ----------
    payload
        Layout of all streams.
    n
        Streams, 2 or more.

    Members
    -------
    i_0 ... : ``In(stream.Signature(payload))``
    o_0 ... : ``Out(stream.Signature(payload))``
        ``o_k`` has the transactions of ``i_k``, in order.
    """

    def __init__(self, payload: data.StructLayout, *, n: int) -> None:
        self.payload = payload
        self.n = n
        self.arbiter = Arbiter(payload, n=n)
        self.route = Route(payload, n=n)
        super().__init__({**{f"i_{k}": In(stream.Signature(payload)) for k in range(n)},
                          **{f"o_{k}": Out(stream.Signature(payload)) for k in range(n)}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.arbiter, m.submodules.route = self.arbiter, self.route
        wiring.connect(m, self.arbiter.o, self.route.i)
        for k in range(self.n):
            wiring.connect(m, wiring.flipped(getattr(self, f"i_{k}")), getattr(self.arbiter, f"i_{k}"))
            wiring.connect(m, getattr(self.route, f"o_{k}"), wiring.flipped(getattr(self, f"o_{k}")))
        return m


def _rows(rng: np.random.Generator, n: int = COUNT) -> dict[str, np.ndarray]:
    return {"data": rng.integers(-128, 128, n), "tag": rng.integers(0, 16, n)}


def _through(streams: Streams) -> Streams:
    return {"o": streams["i"]}


def _copies(n: int, streams: Streams) -> Streams:
    return {f"o_{k}": streams["i"] for k in range(n)}


def _joined(streams: Streams) -> Streams:
    return {"o": {**streams["i_a"], **streams["i_b"]}}


def _crossed(n: int, streams: Streams) -> Streams:
    return {f"o_{k}": streams[f"i_{k}"] for k in range(n)}


def _serial(streams: Streams) -> Streams:
    return {"o": {"data": np.asarray(streams["i"]["data"]).reshape(-1)}}


def _parallel(n: int, streams: Streams) -> Streams:
    flat = np.asarray(streams["i"]["data"])
    return {"o": {"data": flat[:len(flat) // n * n].reshape(-1, n)}}


def _design(name: str, summary: str, params: Mapping[str, object], component: Callable[[], wiring.Component],
            golden: Callable[[Streams], Streams], stimulus: Callable[[np.random.Generator], Streams], **more: Any) -> Design:
    return Design(name=name, summary=summary, params=params, component=component, golden=golden, stimulus=stimulus, **more)


def _one(rng: np.random.Generator) -> Streams:
    return {"i": _rows(rng)}


def _queue(depth: int, memory: bool) -> Design:
    return _design(f"queue_d{depth}" + "_memory" * memory, f"Queue of {depth}" + ", registered read" * memory,
                   {"payload": PAYLOAD, "depth": depth, "memory": memory}, partial(Queue, PAYLOAD, depth=depth, memory=memory),
                   _through, _one, stateless=True)


DESIGNS: tuple[Design, ...] = (
    _design("skid", "Register slice", {"payload": PAYLOAD}, partial(Skid, PAYLOAD), _through, _one, stateless=True),
    _queue(1, False), _queue(5, False), _queue(16, False), _queue(16, True),
    _design("broadcast_x3", "Copies of one stream", {"payload": PAYLOAD, "n": 3}, partial(Broadcast, PAYLOAD, n=3),
            partial(_copies, 3), _one),
    _design("join_x2", "Two streams side by side", {"payloads": {"a": {"a": 8}, "b": {"b": 5}}},
            partial(Join, {"a": data.StructLayout({"a": 8}), "b": data.StructLayout({"b": 5})}), _joined,
            lambda rng: {"i_a": {"a": rng.integers(0, 256, COUNT)}, "i_b": {"b": rng.integers(0, 32, COUNT)}}),
    _design("crossing_x3", "Three streams through one, round robin", {"payload": PAYLOAD, "n": 3}, partial(Crossing, PAYLOAD, n=3),
            partial(_crossed, 3), lambda rng: {f"i_{k}": _rows(rng, COUNT // 2) for k in range(3)}),
    _design("serialize_x4", "Four elements, one after another", {"shape": 8, "n": 4}, partial(Serialize, signed(8), n=4), _serial,
            lambda rng: {"i": {"data": rng.integers(-128, 128, (COUNT // 2, 4))}}),
    _design("deserialize_x4", "Four transactions as one", {"shape": 8, "n": 4}, partial(Deserialize, signed(8), n=4), partial(_parallel, 4),
            lambda rng: {"i": {"data": rng.integers(-128, 128, COUNT * 2)}}),
)
