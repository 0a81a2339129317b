"""What keeps a memory that does not answer from stopping everything else."""
from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .memory_port import MemoryPort, request_layout, word_layout
from .stream import Queue, check_positive

__all__ = ["Guard"]


class Guard(wiring.Component):
    """A port between who asks and a memory, that answers in the memory's place where it must.

    A burst beyond the memory's ``words`` is not passed on: its words read have ``error`` and are 0, its words to be written are dropped,
    its ``write_done`` has ``error``. When the memory has owed something for ``patience`` cycles (to take a request or a word, to give a
    word or the end of a burst) and nobody else was waited for, that side of the port, reads or writes, has failed: what is under way
    and all that follows is answered the same way, and what the memory still says is not heard, until reset.

    Two cycles of latency for requests, two for words written, none back; a word a cycle each way. A request's ready depends on no other
    signal; ``memory.read_data``'s and ``memory.write_done``'s on those of the port.

    Parameters
    ----------
    address_bits, length_bits, data_bits
        As :class:`~mantissa.hw.memory_port.MemoryPort` has them.
    words
        Of the memory, at most ``2 ** address_bits``.
    patience
        Cycles; more than the memory ever takes, set-up and refresh included.
    waiting
        Bursts of a kind under way at most.

    Members
    -------
    port : ``In(MemoryPort(...))``
    memory : ``Out(MemoryPort(...))``
    read_failed, write_failed : ``Out(1)``
    read_address, write_address : ``Out(address_bits)``
        Where the first burst began that was not answered.
    """

    def __init__(self, *, address_bits: int, length_bits: int, data_bits: int, words: int, patience: int = 1 << 16,
                 waiting: int = 4) -> None:
        signature = MemoryPort(address_bits, length_bits, data_bits)
        self.words = check_positive("Words of a memory", words)
        if words > 1 << address_bits:
            raise ValueError(f"Words of a memory must be at most {1 << address_bits}, as an address has {address_bits} bits, not {words}")
        self.address_bits = address_bits
        self.length_bits = length_bits
        self.patience = check_positive("Patience", patience, 2)
        self.waiting = check_positive("Waiting bursts", waiting, 2)
        super().__init__({
            "port": In(signature), "memory": Out(signature), "read_failed": Out(1), "write_failed": Out(1),
            "read_address": Out(address_bits), "write_address": Out(address_bits)})
        burst = request_layout(address_bits, length_bits)
        noted = data.StructLayout({**burst.members, "refused": 1})
        self.passed = {kind: Queue(burst, depth=2) for kind in ("read", "write")}
        self.words_passed = Queue(word_layout(data_bits), depth=2)
        self.reading, self.coming, self.ending = (Queue(noted, depth=waiting) for _ in range(3))
        self.whole = Signal(range(waiting + 1))                 # bursts written whose words have all come, and whose end has not

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._reads(m)
        self._writes(m)
        return m

    def _accept(self, m: Module, kind: str, notes: tuple[Queue, ...]) -> None:
        """Requests of a kind go to the memory unless they can not be, and to lists of what is under way."""
        asked, passed = getattr(self.port, f"{kind}_requests"), getattr(self.memory, f"{kind}_requests")
        failed = getattr(self, f"{kind}_failed")
        m.submodules[f"{kind}_passed"] = onward = self.passed[kind]
        room: Value = onward.i.ready | failed
        for n, note in enumerate(notes):
            m.submodules[f"{kind}_noted{n}"] = note
            room = room & note.i.ready
        refused = Signal(name=f"{kind}_refused")
        m.d.comb += [refused.eq(asked.payload.address + asked.payload.length >= self.words), asked.ready.eq(room),
                     onward.i.valid.eq(asked.valid & room & ~refused & ~failed), onward.i.payload.eq(asked.payload)]
        for note in notes:
            m.d.comb += [note.i.valid.eq(asked.valid & room), note.i.payload.address.eq(asked.payload.address),
                         note.i.payload.length.eq(asked.payload.length), note.i.payload.refused.eq(refused)]
        wiring.connect(m, onward.o, wiring.flipped(passed))

    def _watch(self, m: Module, kind: str, owed: Value, address: Value) -> Signal:
        """Fails when ``owed`` has held for ``patience`` cycles."""
        failed, where = getattr(self, f"{kind}_failed"), getattr(self, f"{kind}_address")
        left = Signal(range(self.patience), init=self.patience - 1, name=f"{kind}_patience")
        at = Signal(self.address_bits, name=f"{kind}_failed_at", reset_less=True)
        m.d.comb += where.eq(at)
        m.d.sync += left.eq(Mux(owed, left - 1, self.patience - 1))
        with m.If(owed & (left == 0) & ~failed):
            m.d.sync += [failed.eq(1), at.eq(address)]
        return failed

    def _reads(self, m: Module) -> None:
        self._accept(m, "read", (self.reading,))
        burst, i, o = self.reading.o, self.memory.read_data, self.port.read_data
        at = Signal(self.length_bits)
        failed = self._watch(m, "read", burst.valid & ~burst.payload.refused & ~i.valid, burst.payload.address)
        given, last = failed | burst.payload.refused, at == burst.payload.length
        m.d.comb += [
            o.valid.eq(burst.valid & (given | i.valid)), i.ready.eq(failed | (burst.valid & ~burst.payload.refused & o.ready)),
            o.payload.data.eq(Mux(given, 0, i.payload.data)), o.payload.error.eq(given | i.payload.error), o.payload.last.eq(last),
            burst.ready.eq(o.valid & o.ready & last),
        ]
        with m.If(o.valid & o.ready):
            m.d.sync += at.eq(Mux(last, 0, at + 1))

    def _writes(self, m: Module) -> None:
        self._accept(m, "write", (self.coming, self.ending))
        i, onward, done, said = self.port.write_data, self.memory.write_data, self.memory.write_done, self.port.write_done
        m.submodules.words_passed = words = self.words_passed
        wiring.connect(m, words.o, wiring.flipped(onward))
        burst, ending = self.coming.o, self.ending.o
        at, whole = Signal(self.length_bits), self.whole
        owes_end = (whole != 0) & ~ending.payload.refused & ~done.valid
        owes_room = i.valid & ~words.i.ready
        failed = self._watch(m, "write", owes_end | (owes_room & ~said.valid), ending.payload.address)
        dropped, last = failed | burst.payload.refused, at == burst.payload.length
        given = failed | ending.payload.refused
        m.d.comb += [
            words.i.valid.eq(burst.valid & i.valid & ~dropped), words.i.payload.data.eq(i.payload.data), words.i.payload.last.eq(last),
            i.ready.eq(burst.valid & (dropped | words.i.ready)), burst.ready.eq(i.valid & i.ready & last),
            said.valid.eq((whole != 0) & (given | done.valid)), said.payload.error.eq(given | done.payload.error),
            done.ready.eq(failed | ((whole != 0) & ~ending.payload.refused & said.ready)), ending.ready.eq(said.valid & said.ready),
        ]
        with m.If(i.valid & i.ready):
            m.d.sync += at.eq(Mux(last, 0, at + 1))
        m.d.sync += whole.eq(whole + burst.ready - ending.ready)
