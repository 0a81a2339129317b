"""What a ternary accelerator moves to and from its external memory, so that a program that stops leaves nothing behind."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .memory_port import answer_layout, done_layout, request_layout, word_layout
from .stream import check_positive

__all__ = ["Drain", "LoadWords", "StoreWords"]

WORD = data.StructLayout({"word": 32})
OWED_BITS = 16


class Drain(wiring.Component):
    """Bursts of words read, of which none is left to come when ``quiet``.

    While ``flush`` is high, and after that until the memory owes nothing, requests wait and words are dropped. Otherwise all pass through.

    Parameters
    ----------
    address_bits, length_bits, data_bits
        As :class:`~mantissa.hw.memory_port.MemoryPort` has them.

    Members
    -------
    flush : ``In(1)``
    quiet : ``Out(1)``
    i_requests, o_requests : ``In`` and ``Out(stream.Signature(request_layout(address_bits, length_bits)))``
    i_data, o_data : ``In`` and ``Out(stream.Signature(answer_layout(data_bits)))``
    """

    def __init__(self, *, address_bits: int, length_bits: int, data_bits: int) -> None:
        self.length_bits = check_positive("Length bits of a memory port", length_bits)
        requests, answers = (stream.Signature(layout) for layout in (request_layout(address_bits, length_bits), answer_layout(data_bits)))
        super().__init__({"flush": In(1), "quiet": Out(1), "i_requests": In(requests), "o_requests": Out(requests),
                          "i_data": In(answers), "o_data": Out(answers)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        owed, dropping = Signal(OWED_BITS), Signal(init=1)
        room = ~owed[-1]
        asked, came = self.o_requests.valid & self.o_requests.ready, self.i_data.valid & self.i_data.ready
        m.d.comb += [
            self.quiet.eq(owed == 0),
            self.o_requests.p.eq(self.i_requests.p), self.o_requests.valid.eq(self.i_requests.valid & ~dropping & room),
            self.i_requests.ready.eq(self.o_requests.ready & ~dropping & room),
            self.o_data.p.eq(self.i_data.p), self.o_data.valid.eq(self.i_data.valid & ~dropping),
            self.i_data.ready.eq(self.o_data.ready | dropping),
        ]
        m.d.sync += [owed.eq(owed + Mux(asked, self.o_requests.p.length + 1, 0) - came),
                     dropping.eq(self.flush | dropping & (owed != 0))]
        return m


class StoreWords(wiring.Component):
    """32-bit words into the memory, joined to its words, each a burst of one.

    A word that was taken whole is always written to its end; ``flush`` only forgets parts of one.

    Parameters
    ----------
    address_bits, length_bits, data_bits
        As :class:`~mantissa.hw.memory_port.MemoryPort` has them; 32 bits or more.

    Members
    -------
    start, base : ``In(1)``, ``In(address_bits)``
        Words that follow are written from ``base`` on.
    flush : ``In(1)``
    quiet, failed : ``Out(1)``
        Nothing is on its way; the memory said that it failed, since ``start``.
    i : ``In(stream.Signature({"word": 32}))``
    requests, words, done
        ``write_requests``, ``write_data`` and ``write_done`` of the memory.
    """

    def __init__(self, *, address_bits: int, length_bits: int, data_bits: int) -> None:
        if data_bits < 32:
            raise ValueError(f"Words that 32 bits are stored in must have 32 bits at least, not {data_bits}")
        self.parts = data_bits // 32
        super().__init__({
            "start": In(1), "base": In(address_bits), "flush": In(1), "quiet": Out(1), "failed": Out(1),
            "i": In(stream.Signature(WORD)), "requests": Out(stream.Signature(request_layout(address_bits, length_bits))),
            "words": Out(stream.Signature(word_layout(data_bits))), "done": In(stream.Signature(done_layout())),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address, word = Signal(len(self.base)), Signal(32 * self.parts, reset_less=True)
        part, asks, gives, waits = Signal(range(self.parts)), Signal(), Signal(), Signal()
        busy = asks | gives | waits
        last = part == self.parts - 1
        m.d.comb += [
            self.quiet.eq(~busy), self.i.ready.eq(~busy),
            self.requests.valid.eq(asks), self.requests.p.address.eq(address), self.requests.p.length.eq(0),
            self.words.valid.eq(gives), self.words.p.data.eq(word), self.words.p.last.eq(1), self.done.ready.eq(waits),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [word.eq(Cat(word, self.i.p.word)[32:]), part.eq(Mux(last, 0, part + 1))]
            with m.If(last):
                m.d.sync += [asks.eq(1), gives.eq(1), waits.eq(1)]
        with m.If(self.requests.valid & self.requests.ready):
            m.d.sync += asks.eq(0)
        with m.If(self.words.valid & self.words.ready):
            m.d.sync += gives.eq(0)
        with m.If(self.done.valid & self.done.ready):
            m.d.sync += [waits.eq(0), address.eq(address + 1), self.failed.eq(self.failed | self.done.p.error)]
        with m.If(self.flush):
            m.d.sync += part.eq(0)
        with m.If(self.start):
            m.d.sync += [address.eq(self.base), self.failed.eq(0)]
        return m


class LoadWords(wiring.Component):
    """Words of the memory as words of 32 bits, the lowest first.

    Each is read as a burst of one when the one before is gone. A reset abandons them; what was asked for then must be drained.

    Parameters
    ----------
    address_bits, length_bits, data_bits
        As :class:`~mantissa.hw.memory_port.MemoryPort` has them; 32 bits or more.

    Members
    -------
    start, base, last : ``In(1)``, ``In(address_bits)``, ``In(18)``
        Read ``last + 1`` words of 32 bits.
    o : ``Out(stream.Signature({"word": 32}))``
    failed, idle : ``Out(1)``
        The memory said that it failed, since ``start``; all words are gone.
    requests, words
        ``read_requests`` and ``read_data`` of the memory.
    """

    def __init__(self, *, address_bits: int, length_bits: int, data_bits: int) -> None:
        if data_bits < 32:
            raise ValueError(f"Words that 32 bits are loaded from must have 32 bits at least, not {data_bits}")
        self.parts = data_bits // 32
        super().__init__({
            "start": In(1), "base": In(address_bits), "last": In(18), "idle": Out(1), "failed": Out(1),
            "o": Out(stream.Signature(WORD)), "requests": Out(stream.Signature(request_layout(address_bits, length_bits))),
            "words": In(stream.Signature(answer_layout(data_bits))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address, left, word = Signal(len(self.base)), Signal(18), Signal(32 * self.parts, reset_less=True)
        active, asked, filled, part = Signal(), Signal(), Signal(), Signal(range(self.parts))
        gone = self.o.valid & self.o.ready
        m.d.comb += [
            self.idle.eq(~active), self.requests.valid.eq(active & ~asked & ~filled), self.requests.p.address.eq(address),
            self.requests.p.length.eq(0), self.words.ready.eq(asked), self.o.valid.eq(filled), self.o.p.word.eq(word[:32]),
        ]
        with m.If(self.requests.valid & self.requests.ready):
            m.d.sync += [asked.eq(1), address.eq(address + 1)]
        with m.If(self.words.valid & self.words.ready):
            m.d.sync += [asked.eq(0), filled.eq(1), part.eq(0), word.eq(self.words.p.data),
                         self.failed.eq(self.failed | self.words.p.error)]
        with m.If(gone):
            m.d.sync += [part.eq(part + 1), word.eq(word >> 32), left.eq(left - 1), active.eq(left != 0)]
            with m.If((part == self.parts - 1) | (left == 0)):
                m.d.sync += filled.eq(0)
        with m.If(self.start):
            m.d.sync += [address.eq(self.base), left.eq(self.last), active.eq(1), asked.eq(0), filled.eq(0), self.failed.eq(0)]
        return m
