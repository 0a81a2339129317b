"""The one contract of every memory outside a unit: bursts of words, read and written, as five streams."""
from __future__ import annotations

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .stream import check_positive

__all__ = ["WIDTHS", "MemoryPort", "answer_layout", "done_layout", "request_layout", "word_layout"]

WIDTHS = (8, 16, 32, 64, 128)
"""Bits that a word of a memory port may have."""


def request_layout(address_bits: int, length_bits: int) -> data.StructLayout:
    """A burst: address of its first word, and its words less one."""
    return data.StructLayout({"address": address_bits, "length": length_bits})


def answer_layout(data_bits: int) -> data.StructLayout:
    """A word read: whether it is its burst's last, whether the memory failed."""
    return data.StructLayout({"data": data_bits, "last": 1, "error": 1})


def word_layout(data_bits: int) -> data.StructLayout:
    """A word to be written, and whether it is its burst's last."""
    return data.StructLayout({"data": data_bits, "last": 1})


def done_layout() -> data.StructLayout:
    """The end of a burst written: whether the memory failed."""
    return data.StructLayout({"error": 1})


class MemoryPort(wiring.Signature):
    """A port of a memory, from the side of who asks: a member of a unit that asks is ``Out``, of a memory ``In``.

    Addresses count words of ``data_bits``; a burst is 1 to ``2 ** length_bits`` words at successive addresses, and ends within the
    memory. Requests may wait, as many as the memory holds; each stream keeps their order. Words to be written may come before, with or
    after their request; a memory may wait for either. Nothing is said of a read and a write under way together that have a word in
    common: who wants the new word asks when ``write_done`` has come.

    Where the memory refuses or does not answer, the burst still comes to its end: every word of it read has ``error`` from where it
    failed on, at the latest in the last, and words to be written are taken and dropped.

    Parameters
    ----------
    address_bits
        Of an address, 1 or more.
    length_bits
        Of words less one, 1 or more.
    data_bits
        Of a word: one of :data:`WIDTHS`.

    Members
    -------
    read_requests, write_requests : ``Out(stream.Signature(request_layout(address_bits, length_bits)))``
        Bursts: ``address``, ``length``.
    read_data : ``In(stream.Signature(answer_layout(data_bits)))``
        Words of the bursts read, in the order of the requests: ``data``, ``last``, ``error``.
    write_data : ``Out(stream.Signature(word_layout(data_bits)))``
        Words of the bursts to be written, in the order of the requests: ``data``, ``last``.
    write_done : ``In(stream.Signature(done_layout()))``
        One for each burst written, when the memory has it: ``error``.
    """

    def __init__(self, address_bits: int, length_bits: int, data_bits: int) -> None:
        self.address_bits = check_positive("Address bits of a memory port", address_bits)
        self.length_bits = check_positive("Length bits of a memory port", length_bits)
        if data_bits not in WIDTHS or isinstance(data_bits, bool):
            raise ValueError(f"Data bits of a memory port must be one of {', '.join(map(str, WIDTHS))}, not {data_bits!r}")
        self.data_bits = data_bits
        requests = stream.Signature(request_layout(address_bits, length_bits))
        super().__init__({
            "read_requests": Out(requests), "read_data": In(stream.Signature(answer_layout(data_bits))),
            "write_requests": Out(requests), "write_data": Out(stream.Signature(word_layout(data_bits))),
            "write_done": In(stream.Signature(done_layout())),
        })

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MemoryPort) and (self.address_bits, self.length_bits, self.data_bits) == (
            other.address_bits, other.length_bits, other.data_bits)

    def __repr__(self) -> str:
        return f"MemoryPort({self.address_bits}, {self.length_bits}, {self.data_bits})"
