# amaranth: UnusedElaboratable=no
"""Proofs of the stream plumbing, and that the prover refuses what is wrong."""
import pytest

pytest.importorskip("amaranth")

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Cover, Elaboratable, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
import numpy as np

from mantissa.design import Design
from mantissa.hw.stream import Queue, Skid
from mantissa.sim_tb.contract import Contract, paths, prove_contract
from mantissa.sim_tb.formal import ProofError, prove
from mantissa.sim_tb.proofs import PROOFS, SMALL, QueueProof, SkidProof

BYTE = data.StructLayout({"data": 8})


class Counter(Elaboratable):
    """Counts to 9 and starts again, or does not."""

    def __init__(self, *, top=9, bound=10, covers=True):
        self.top, self.bound, self.covers = top, bound, covers

    def elaborate(self, platform):
        m = Module()
        value = Signal(4)
        with m.If(AnySeq(1)):
            m.d.sync += value.eq(value + 1)
            with m.If(value == self.top):
                m.d.sync += value.eq(0)
        m.d.comb += Assert(value < self.bound)
        if self.covers:
            m.d.comb += Cover(value == 9)
        return m


class Wrong(wiring.Component):
    """A register that breaks one rule of streams."""

    def __init__(self, flaw):
        self.flaw = flaw
        super().__init__({"i": In(stream.Signature(BYTE)), "o": Out(stream.Signature(BYTE))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        if self.flaw == "payload":
            with m.If(self.i.valid):
                m.d.sync += self.o.payload.eq(self.i.payload)
        if self.flaw == "valid":
            with m.If(~self.i.valid):
                m.d.sync += self.o.valid.eq(0)
        return m


class Waits(wiring.Component):
    """An output that is valid only when it is ready."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(BYTE)), "o": Out(stream.Signature(BYTE))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.o.valid.eq(self.i.valid & self.o.ready), self.o.payload.eq(self.i.payload), self.i.ready.eq(self.o.ready)]
        return m


class Losing(Skid):
    """A skid buffer that takes a third transaction over its second."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        with m.If(self.full & ~self.o.ready & self.i.valid):
            m.d.sync += self.spare.eq(self.i.payload)
        return m


class Overtaking(Queue):
    """A queue whose write pointer goes wrong at the end."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        with m.If((self.next == self.depth - 1) & self.i.valid & self.i.ready & (self.level != 0)):
            m.d.sync += self.next.eq(1)
        return m


def design(component, name="wrong"):
    return Design(name=name, summary="", params={}, component=component, golden=lambda streams: {"o": streams["i"]},
                  stimulus=lambda rng: {"i": {"data": np.arange(200)}}, stateless=True)


@pytest.mark.parametrize("name", PROOFS)
def test_order(name):
    proof = prove(PROOFS[name](), name=name, cover_depth=14)
    assert proof.assertions >= 5
    assert proof.covers >= 1


def test_counts():
    proof = prove(Counter(), name="counter", depth=1, cover_depth=12)
    assert (proof.assertions, proof.covers, proof.cached) == (1, 1, False)


def test_wrong_base():
    with pytest.raises(ProofError, match=r"^Proof counter fails within 9 cycles of reset: .*Assert failed"):
        prove(Counter(bound=7), name="counter", depth=8)


def test_not_inductive():
    with pytest.raises(ProofError, match=r"^Proof counter is not inductive at depth 1: .*Assert failed"):
        prove(Counter(top=8, bound=10), name="counter", depth=1)


def test_cover_out_of_reach():
    with pytest.raises(ProofError, match=r"^Proof counter reaches 0 of 1 covers in 5 cycles: .*Unreached cover"):
        prove(Counter(), name="counter", depth=1, cover_depth=5)


def test_no_covers():
    with pytest.raises(ProofError, match=r"^Proof counter must have assertions and covers, not 1 and 0$"):
        prove(Counter(covers=False), name="counter", depth=1)


def test_wrong_depth():
    with pytest.raises(ValueError, match=r"^Proof depths must be positive, not 0 and 20$"):
        prove(Counter(), name="counter", depth=0)


def test_nothing_witnessed():
    with pytest.raises(ProofError, match=r"^Proof counter must have covers reached in simulation, not 0$"):
        prove(Counter(), name="counter", cover_depth=None)


def test_kept(tmp_path):
    assert not prove(Counter(), name="counter", depth=1, folder=tmp_path).cached
    assert prove(Counter(), name="counter", depth=1, folder=tmp_path).cached
    with pytest.raises(ProofError):
        prove(Counter(bound=7), name="counter", depth=8, folder=tmp_path)


@pytest.mark.parametrize("flaw", ["payload", "valid"])
def test_contract_broken(flaw):
    with pytest.raises(ProofError, match="^Proof wrong (fails|is not inductive)"):
        prove_contract(design(lambda: Wrong(flaw)))


def test_contract_holds():
    proof = prove_contract(design(lambda: Wrong(None)))
    assert (proof.assertions, proof.covers) == (1, 2)
    assert prove(Contract(Wrong(None)), name="wrong").covers == 2


def test_waits_for_ready():
    with pytest.raises(ProofError, match=r"^Proof wrong has a combinational path from o\.ready to o\.valid$"):
        prove_contract(design(Waits))


def test_losing():
    with pytest.raises(ProofError, match=r"^Proof losing (fails|is not inductive)"):
        prove(SkidProof(Losing(SMALL)), name="losing")


def test_overtaking():
    with pytest.raises(ProofError, match=r"^Proof overtaking (fails|is not inductive)"):
        prove(QueueProof(Overtaking(SMALL, depth=3)), name="overtaking")


def test_paths():
    assert paths(Skid(BYTE)) == {}
    assert paths(Queue(BYTE, depth=4, memory=True)) == {}
    assert paths(Wrong(None)) == {"o.ready": ["i.ready"]}
