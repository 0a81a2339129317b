"""Properties of the accelerator's control hold for all time, and a wrong one is found out."""
from __future__ import annotations

from amaranth.hdl import Assert, Module
import pytest

from mantissa.sim_tb.formal import ProofError, prove
from mantissa.sim_tb.formal_core import PROOFS, Odometer, prove_core


@pytest.mark.parametrize("name", PROOFS)
def test_proof(name: str) -> None:
    proof = prove_core(name)
    assert proof.assertions > 10 and proof.covers >= 2


class Wrong(Odometer):
    """Claims that the fourth loop never turns."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += Assert(m.submodules.dut.o.p.start[3])
        return m


def test_wrong_claim() -> None:
    with pytest.raises(ProofError, match=r"^Proof wrong "):
        prove(Wrong(), name="wrong", depth=2, cover_depth=12)
