"""From exact accumulators to words of the activation memory."""
from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..fixed import NAMES
from ..registers import ACC_BITS, PARAM_BYTES, WIDE_ACC_BITS, WIDE_PARAM_BYTES
from .decode import FORMAT
from .engine import vector
from .format_lane import FormatLane
from .requantize_lane import RequantizeLane

__all__ = ["Post"]

PARAM = data.StructLayout({"bias": signed(32), "b": unsigned(32), "c": unsigned(6), "unused": unsigned(2)})
WIDE_PARAM = data.StructLayout(PARAM.members | {"bias_high": signed(WIDE_ACC_BITS - 32)})


class Post(wiring.Component):
    """Requantizes vectors of accumulators with the parameters of their channels, and writes them.

    ``lanes / requantizers`` groups per vector, one group per cycle with parallel requantizers.

    Parameters
    ----------
    lanes : :class:`int`
        Accumulators per vector.
    requantizers : :class:`int`
        Lanes that work side by side, a divisor of ``lanes``.
    serial : :class:`bool`
        Whether they are bit-serial.
    channels : :class:`int`
        Depth of the parameter memory in channels.
    depth : :class:`int`
        Words in the activation memory.
    formats : sequence of :class:`str`
        Formats of the hardware; with others than int8 accumulators and biases have 48 bits.

    Members
    -------
    i : :py:`In(stream.Signature({"acc": lanes * signed(acc_bits), "hold": 1, "end": 1}))`
        Accumulators. The product of a vector marked ``hold`` is added to that of the next, which uses the parameters
        of the following ``lanes`` channels. ``end`` marks the last output of a channel tile.
    start : :py:`In(1)`
        Take ``params`` and ``output`` as the first addresses.
    advance : :py:`In(1)`
        Whether each channel tile has parameters of its own.
    params, output, output_step, output_wrap, zero_point, low, high, format
        The instruction's fields; ``format``, that of what is written, only where there are several.
    written : :py:`Out(1)`
        A word is written in this cycle, at ``write_address``.
    fault : :py:`Out(1)`
        A word would be written outside the activation memory or needs parameters outside theirs; ``fault_address`` is
        the word's address, or the channel's. Nothing is written.
    """

    def __init__(self, *, lanes: int, requantizers: int, serial: bool, channels: int, depth: int,
                 formats: Sequence[str] = ("int8",)) -> None:
        self.lanes = lanes
        self.requantizers = requantizers
        self.serial = serial
        self.channels = channels
        self.depth = depth
        self.formats = tuple(formats)
        self.wide = self.formats != ("int8",)
        self.acc_bits, self.param_bytes = (WIDE_ACC_BITS, WIDE_PARAM_BYTES) if self.wide else (ACC_BITS, PARAM_BYTES)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"acc": vector(lanes, self.acc_bits), "hold": 1, "end": 1}))),
            "start": In(1), "advance": In(1),
            "params": In(16), "output": In(18), "output_step": In(12), "output_wrap": In(signed(19)),
            "zero_point": In(signed(8)), "low": In(signed(8)), "high": In(signed(8)),
            "param_address": Out(ceil_log2(channels // requantizers)), "param_enable": Out(1),
            "param_data": In(8 * self.param_bytes * requantizers),
            "write_address": Out(ceil_log2(depth)), "write_enable": Out(1), "write_data": Out(8 * lanes),
            "written": Out(1), "fault": Out(1), "fault_address": Out(24),
        } | ({"format": In(FORMAT)} if self.wide else {}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, count = self.i, self.requantizers
        groups = self.lanes // count
        numbers = [name for name in self.formats if name in NAMES]
        lanes = [FormatLane(formats=numbers, depth=groups) if self.wide else RequantizeLane(serial=self.serial, depth=groups)
                 for _ in range(count)]
        for n, lane in enumerate(lanes):
            m.submodules[f"lane{n}"] = lane
            m.d.comb += [lane.zero_point.eq(self.zero_point), lane.low.eq(self.low), lane.high.eq(self.high),
                         lane.o.ready.eq(1)]

        # A group waits in a register while its parameters come out of the memory, then both wait for the lanes.
        group = Signal(range(groups))
        tile = Signal(16)
        second = Signal()
        busy = Signal()
        held = data.StructLayout({"acc": vector(count, self.acc_bits), "hold": 1, "end": 1})
        kept, met = Signal(held, reset_less=True), Signal(held, reset_less=True)
        met_valid, met_params = Signal(), Signal(len(self.param_data), reset_less=True)
        move, pass_on = Signal(), Signal()
        now = Signal(17)
        lost, lost_channel, channel = Signal(), Signal(24, reset_less=True), Signal(24, reset_less=True)
        m.d.comb += [
            now.eq(tile + second),
            pass_on.eq(~met_valid | lanes[0].i.ready),
            move.eq(~busy | pass_on),
            self.param_enable.eq(i.valid & move),
            self.param_address.eq(Cat(group[:ceil_log2(groups)], now)),
            i.ready.eq(move & (group == groups - 1)),
        ]
        # What has no parameters is not passed on, and nothing after it is.
        missing = Signal(17 - ceil_log2(self.channels // self.lanes), reset_less=True)
        with m.If(busy & missing.any() & ~lost):
            m.d.sync += [lost.eq(1), lost_channel.eq(channel)]
        with m.If(pass_on):
            m.d.sync += [met_valid.eq(busy & ~missing.any() & ~lost), met.eq(kept), met_params.eq(self.param_data)]
        with m.If(move):
            m.d.sync += busy.eq(i.valid)
        with m.Elif(pass_on):
            m.d.sync += busy.eq(0)
        with m.If(i.valid & move):
            with m.Switch(group):
                for g in range(groups):
                    with m.Case(g):
                        m.d.sync += [kept.acc[n].eq(i.p.acc[g * count + n]) for n in range(count)]
            m.d.sync += [kept.hold.eq(i.p.hold), kept.end.eq(i.p.end), group.eq(group + 1),
                         missing.eq(now[ceil_log2(self.channels // self.lanes):]), channel.eq(now << ceil_log2(self.lanes))]
            with m.If(group == groups - 1):
                m.d.sync += [group.eq(0), second.eq(i.p.hold)]
                with m.If(i.p.end & self.advance):
                    m.d.sync += tile.eq(tile + 1)
        with m.If(self.start):
            m.d.sync += [tile.eq(self.params[ceil_log2(self.lanes):]), second.eq(0), group.eq(0), busy.eq(0),
                         met_valid.eq(0), lost.eq(0)]
        for n, lane in enumerate(lanes):
            param = data.View(WIDE_PARAM if self.wide else PARAM, met_params[8 * self.param_bytes * n:8 * self.param_bytes * (n + 1)])
            bias = param.bias
            if self.wide:
                bias = Cat(bias, param.bias_high).as_signed()
                m.d.comb += lane.i.p.format.eq(self.format)
            m.d.comb += [
                lane.i.valid.eq(met_valid), lane.i.p.acc.eq(met.acc[n]), lane.i.p.bias.eq(bias), lane.i.p.b.eq(param.b),
                lane.i.p.c.eq(param.c), lane.i.p.hold.eq(met.hold), lane.i.p.tag.eq(met.end),
            ]
        self._write(m, lanes, groups, lost, lost_channel)
        return m

    def _write(self, m: Module, lanes: Sequence[RequantizeLane | FormatLane], groups: int, lost: Value, channel: Value) -> None:
        """Gather groups into words and write them; ``lost`` says that the parameters of ``channel`` do not exist."""
        o = lanes[0].o
        group = Signal(range(groups))
        address = Signal(19)
        word = Signal(8 * self.lanes, reset_less=True)
        full, end = Signal(), Signal(reset_less=True)
        m.d.sync += full.eq(o.valid & (group == groups - 1))
        with m.If(o.valid):
            m.d.sync += [word.eq(Cat(word[8 * len(lanes):], *(lane.o.p.y for lane in lanes))),
                         end.eq(o.p.tag), group.eq(Mux(group == groups - 1, 0, group + 1))]
        # Known when the address is: a register that 16 or more enables of the memory wait for.
        beyond, bits = Signal(), ceil_log2(self.depth)
        following = address + Mux(end, self.output_wrap, self.output_step)
        m.d.comb += [
            self.written.eq(full & ~beyond), self.fault.eq(full & beyond | lost),
            self.fault_address.eq(Mux(lost, channel, address)),
            self.write_address.eq(address), self.write_enable.eq(self.written), self.write_data.eq(word),
        ]
        with m.If(full):
            m.d.sync += [address.eq(following), beyond.eq(following[bits:len(address)] != 0)]
        with m.If(self.start):
            m.d.sync += [address.eq(self.output), beyond.eq(self.output[bits:] != 0), group.eq(0), full.eq(0)]
