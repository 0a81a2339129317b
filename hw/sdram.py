"""Controller of an SDR SDRAM of 16-bit words."""
from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .memory_pieces import Pieces
from .memory_port import MemoryPort, answer_layout
from .sdram_banks import Banks
from .sdram_timing import CLASS_7, W16, Cycles, Geometry, Timing
from .stream import Queue, Skid, check_positive

__all__ = ["PIECE", "STREAK", "Sdram", "SdramPins"]

PIECE = 32
"""Words that are read or written at a stretch: long enough to open the next row meanwhile, a divisor of the columns' number."""

STREAK = 8
"""Pieces read before a piece that can be written gets its turn, and the reverse: turning costs cycles."""


class SdramPins(wiring.Signature):
    """A chip's pins from the controller's side, all active high; each output is a register."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__({
            "enable": Out(1), "ras": Out(1), "cas": Out(1), "we": Out(1), "mask": Out(2), "bank": Out(geometry.bank_bits),
            "address": Out(max(geometry.row_bits, geometry.column_bits + 1, 11)), "data_out": Out(16), "drive": Out(1), "data_in": In(16)})


class State(enum.Enum):
    """Of the chip as a whole."""
    POWER_UP = 0
    RUN = 1
    DRAIN = 2
    CLOSED = 3
    REFRESHED = 4
    SET_UP = 5


class Step(enum.Enum):
    """Of the piece whose row is being opened."""
    NONE = 0
    LOOK = 1
    CLOSE = 2
    OPEN = 3
    SETTLE = 4


class Sdram(wiring.Component):
    """An SDR SDRAM behind the contract of a memory, words of 16 bits; :class:`~mantissa.hw.memory_wide.Wider` makes them wider.

    Bursts are cut into pieces of at most 32 words in one row. While one is read or written, a column command a cycle, the next
    one's row is opened; successive rows are in different banks. A piece starts only if there is room for what it reads, or what it
    writes has come, so that no one who waits stops the memory for others. Pieces that wait take turns, up to eight of a kind. A
    refresh is made when the piece at hand is over. ``write_done`` comes
    when the last word's command is given. ``last`` of words to be written is not looked at, ``error`` never set.

    A word read is on ``read_data`` CAS latency, ``delay`` and 3 cycles after its command is on the pins. No ready depends on another.

    Parameters
    ----------
    clock_hz
        Frequency of the controller's and the chip's clock.
    timing, geometry
        Of the chip.
    length_bits
        As :class:`~mantissa.hw.memory_port.MemoryPort` has it.
    waiting
        Bursts written whose end has not been said yet, at most.
    delay
        Cycles that registers between the pins and the chip add, both ways together.

    Members
    -------
    port : ``In(MemoryPort(geometry.address_bits, length_bits, 16))``
        Addresses are row, bank, column.
    pins : ``Out(SdramPins(geometry))``
    ready : ``Out(1)``
        The chip has been set up.
    """

    def __init__(self, *, clock_hz: int, timing: Timing = CLASS_7, geometry: Geometry = W16, length_bits: int = 8, waiting: int = 4,
                 delay: int = 0) -> None:
        self.clock_hz = clock_hz
        self.timing = timing
        self.geometry = geometry
        self.length_bits = length_bits
        self.waiting = check_positive("Waiting bursts", waiting)
        self.delay = check_positive("Delay of the pins", delay, 0)
        self.cycles: Cycles = timing.cycles(clock_hz)
        self.piece = min(PIECE, 1 << geometry.column_bits)
        super().__init__({"port": In(MemoryPort(geometry.address_bits, length_bits, 16)),
                          "pins": Out(SdramPins(geometry)), "ready": Out(1)})
        self.words_in = Queue(data.StructLayout({"data": 16}), depth=4 * self.piece, memory=True)
        self.words_out = Queue(answer_layout(16), depth=4 * self.piece, memory=True)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pieces = {"read": Pieces(address_bits=self.geometry.address_bits, length_bits=self.length_bits, words=self.piece),
                  "write": Pieces(address_bits=self.geometry.address_bits, length_bits=self.length_bits, words=self.piece)}
        m.submodules.read_pieces, m.submodules.write_pieces = pieces["read"], pieces["write"]
        wiring.connect(m, wiring.flipped(self.port.read_requests), pieces["read"].i)
        whole: dict[str, Skid] = {}
        for kind, unit in pieces.items():
            m.submodules[f"{kind}_whole"] = whole[kind] = Skid(unit.o.payload.shape())
            wiring.connect(m, unit.o, whole[kind].i)
        self._take_writes(m, pieces["write"])
        grant, writing, piece = self._choose(m, whole["read"].o, whole["write"].o)
        banks = Banks(m, self.geometry, self.cycles)
        self._run(m, banks, grant, writing, piece)
        return m

    # What is next

    def _choose(self, m: Module, read: stream.Interface, write: stream.Interface) -> tuple[Signal, Signal, Value]:
        """(grant, writing, piece): the piece that may go next, taken with ``grant``, every third cycle at most."""
        m.submodules.words_in, m.submodules.words_out = words_in, words_out = self.words_in, self.words_out
        depth = words_out.depth
        grant, writing, tired = Signal(), Signal(), Signal()
        room, stored = Signal(range(depth + 1), init=depth), Signal(range(depth + 1))
        read_ok, write_ok = Signal(), Signal()
        streak, was = Signal(range(STREAK)), Signal()
        i, o = self.port.write_data, self.port.read_data
        m.d.comb += [
            words_in.i.valid.eq(i.valid), words_in.i.payload.data.eq(i.payload.data), i.ready.eq(words_in.i.ready),
            o.valid.eq(words_out.o.valid), o.payload.eq(words_out.o.payload), words_out.o.ready.eq(o.ready),
            tired.eq(streak == STREAK - 1), writing.eq(write_ok & (~read_ok | (was ^ tired))),
            read.ready.eq(grant & ~writing), write.ready.eq(grant & writing),
        ]
        # What was taken is counted a cycle later: until the next can be taken, everybody knows.
        taken, wrote, size = Signal(), Signal(), Signal(range(self.piece + 1))
        m.d.sync += [
            taken.eq(grant), wrote.eq(writing), size.eq(Mux(writing, write.payload.length, read.payload.length)),
            read_ok.eq(read.valid & room[ceil_log2(self.piece):].any()), write_ok.eq(write.valid & (stored > write.payload.length)),
            room.eq(room + (o.valid & o.ready) - Mux(taken & ~wrote, size + 1, 0)),
            stored.eq(stored + (i.valid & i.ready) - Mux(taken & wrote, size + 1, 0)),
        ]
        with m.If(grant):
            m.d.sync += [was.eq(writing), streak.eq(Mux(was != writing, 0, Mux(tired, streak, streak + 1)))]
        self.offered = read_ok | write_ok
        return grant, writing, Mux(writing, write.payload.as_value(), read.payload.as_value())

    def _take_writes(self, m: Module, pieces: Pieces) -> None:
        """Bursts to be written: no more than can be said to be done."""
        asked, done = self.port.write_requests, self.port.write_done
        under_way, ended = Signal(range(self.waiting + 1)), Signal(range(self.waiting + 1))
        self.write_end = end = Signal()
        room = under_way != self.waiting
        m.d.comb += [pieces.i.payload.eq(asked.payload), pieces.i.valid.eq(asked.valid & room), asked.ready.eq(pieces.i.ready & room),
                     done.valid.eq(ended != 0)]
        said = done.valid & done.ready
        # `ended` never wraps, whatever came before: what is said stays said.
        m.d.sync += [under_way.eq(under_way + (asked.valid & asked.ready) - said), ended.eq(ended + (end & ~ended.all()) - said)]

    # What happens

    def _run(self, m: Module, banks: Banks, grant: Signal, writing: Signal, piece: Value) -> None:
        shape = data.StructLayout({**self._layout.members, "write": 1})
        soon, now = Signal(shape, reset_less=True), Signal(shape, reset_less=True)      # whose row is opened; which is read or written
        step, running, free, ending = Signal(Step), Signal(), Signal(), Signal()
        state, due, move = Signal(State, init=State.POWER_UP), Signal(), Signal()
        soon_parts, now_parts = self._parts(soon), self._parts(now)
        command = _Commands(m, self.pins)

        # A row is opened, beside the piece that is read or written.
        normal = (state == State.RUN) & ~due
        m.d.comb += banks.look.eq(soon_parts.bank)
        elsewhere = ~running | (now_parts.bank != soon_parts.bank)
        close = normal & (step == Step.CLOSE) & elsewhere & banks.may_close
        open_ = normal & (step == Step.OPEN) & elsewhere & banks.may_open
        m.d.comb += move.eq(normal & (step == Step.SETTLE) & banks.settled & free)
        with m.Switch(step):
            with m.Case(Step.LOOK):
                m.d.sync += step.eq(Mux(banks.opened, Mux(banks.row == soon_parts.row, Step.SETTLE, Step.CLOSE), Step.OPEN))
            with m.Case(Step.CLOSE):
                with m.If(close):
                    m.d.sync += step.eq(Step.OPEN)
            with m.Case(Step.OPEN):
                with m.If(open_):
                    m.d.sync += step.eq(Step.SETTLE)
        with m.If(state != State.RUN):
            with m.If(step != Step.NONE):
                m.d.sync += step.eq(Step.LOOK)                          # its bank may be closed meanwhile
        with m.If(move):
            m.d.sync += [now.eq(soon), step.eq(Step.NONE)]
        m.d.comb += grant.eq(self.offered & (step == Step.NONE))
        with m.If(grant):
            m.d.sync += [soon.eq(Cat(piece, writing)), step.eq(Step.LOOK)]

        # A column command a cycle.
        turn = Signal(range(self.cycles.cas + 2))                       # cycles until the chip has let go of the data pins
        column = running & ~close & ~open_ & (~now.write | (turn == 0))
        # In the step in which a piece may move on, nothing is closed or opened: `free` need not wait for that.
        m.d.comb += [ending.eq(column & (now.length == 0)), free.eq(~running | ((now.length == 0) & (~now.write | (turn == 0)))),
                     self.write_end.eq(ending & now.write & now.last)]
        m.d.sync += running.eq(move | (running & ~ending))
        with m.If(column & ~move):
            m.d.sync += [now.address.eq(now.address + 1), now.length.eq(now.length - 1)]
        m.d.sync += turn.eq(Mux(column & ~now.write, self.cycles.cas + 1, Mux(turn == 0, 0, turn - 1)))
        with m.If(column):
            command.give(cas=1, we=now.write, bank=now_parts.bank, address=now_parts.column)
            m.d.sync += self.pins.drive.eq(now.write)
        with m.If(close):
            command.give(ras=1, we=1, bank=soon_parts.bank, address=0)
        with m.If(open_):
            command.give(ras=1, bank=soon_parts.bank, address=soon_parts.row)
        banks.follow(close=close, open_=open_, row=soon_parts.row, write=column & now.write, written=now_parts.bank)
        self._data(m, column, now)
        self._manage(m, banks, command, state, due, busy=running)

    @property
    def _layout(self) -> data.StructLayout:
        return data.StructLayout({"address": self.geometry.address_bits, "length": ceil_log2(self.piece), "last": 1})

    def _parts(self, piece: data.View) -> data.View:
        layout = data.StructLayout({"column": self.geometry.column_bits, "bank": self.geometry.bank_bits, "row": self.geometry.row_bits})
        return data.View(layout, piece.address)

    def _data(self, m: Module, column: Value, now: data.View) -> None:
        """Words to and from the pins."""
        words_in, words_out = self.words_in, self.words_out
        m.d.comb += words_in.o.ready.eq(column & now.write)
        m.d.sync += self.pins.data_out.eq(words_in.o.payload.data)
        arriving = Signal(data.StructLayout({"valid": 1, "last": 1}))
        m.d.comb += [arriving.valid.eq(column & ~now.write), arriving.last.eq((now.length == 0) & now.last)]
        for n in range(self.cycles.cas + 2 + self.delay):
            later = Signal(arriving.shape(), name=f"arriving{n}")
            m.d.sync += later.eq(arriving)
            arriving = later
        found = Signal(16, reset_less=True)
        m.d.sync += found.eq(self.pins.data_in)
        m.d.comb += [words_out.i.valid.eq(arriving.valid), words_out.i.payload.data.eq(found), words_out.i.payload.last.eq(arriving.last)]

    def _manage(self, m: Module, banks: Banks, command: _Commands, state: Signal, due: Signal, *, busy: Value) -> None:
        """Setting up, and refresh."""
        times, pins = self.cycles, self.pins
        pause = Signal(range(times.power_up + 1), init=times.power_up)
        since, tick = Signal(range(times.refresh), init=times.refresh - 1), Signal()
        left = Signal(range(8), init=7)                                 # refreshes before the mode is set
        made, all_open = Signal(), 1 << 10
        m.d.sync += [tick.eq(since == 1), since.eq(Mux(since == 0, times.refresh - 1, since - 1)),
                     due.eq((due & ~made) | (tick & self.ready))]
        m.d.sync += pins.enable.eq(1)
        with m.If(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        with m.Switch(state):
            with m.Case(State.POWER_UP):
                m.d.sync += pins.mask.eq(3)
                with m.If(pause == 0):
                    command.give(ras=1, we=1, address=all_open)
                    m.d.sync += [pause.eq(times.rp - 1), state.eq(State.CLOSED)]
            with m.Case(State.RUN):
                with m.If(due & ~busy):
                    m.d.sync += state.eq(State.DRAIN)
            with m.Case(State.DRAIN):
                with m.If(banks.all_may_close):
                    command.give(ras=1, we=1, address=all_open)
                    m.d.sync += [banks.all_closed(), pause.eq(times.rp - 1), state.eq(State.CLOSED)]
            with m.Case(State.CLOSED):
                with m.If(pause == 0):
                    command.give(ras=1, cas=1)
                    m.d.comb += made.eq(self.ready)
                    m.d.sync += [pause.eq(times.rfc - 1), state.eq(State.REFRESHED)]
            with m.Case(State.REFRESHED):
                with m.If(pause == 0):
                    with m.If(self.ready):
                        m.d.sync += state.eq(State.RUN)
                    with m.Elif(left != 0):
                        m.d.sync += [left.eq(left - 1), state.eq(State.CLOSED)]
                    with m.Else():
                        command.give(ras=1, cas=1, we=1, address=times.cas << 4)        # bursts of one word
                        m.d.sync += [pause.eq(times.mrd - 1), state.eq(State.SET_UP)]
            with m.Case(State.SET_UP):
                with m.If(pause == 0):
                    m.d.sync += [self.ready.eq(1), pins.mask.eq(0), state.eq(State.RUN)]


class _Commands:
    """Registers of the command pins: nothing, unless a command is given."""

    def __init__(self, m: Module, pins: wiring.PureInterface) -> None:
        self.m = m
        self.pins = pins
        m.d.sync += [pins.ras.eq(0), pins.cas.eq(0), pins.we.eq(0), pins.drive.eq(0)]

    def give(self, *, ras: int = 0, cas: int = 0, we: Value | int = 0, bank: Value | int = 0, address: Value | int = 0) -> None:
        self.m.d.sync += [self.pins.ras.eq(ras), self.pins.cas.eq(cas), self.pins.we.eq(we), self.pins.bank.eq(bank),
                          self.pins.address.eq(address)]
