"""The framer and the link's handshakes, proved."""
from __future__ import annotations

from pathlib import Path

import pytest

from mantissa.sim_tb.formal import ProofError, prove
from mantissa.sim_tb.formal_link import PROOFS, DecoderRules


@pytest.mark.parametrize("name", sorted(PROOFS))
def test_proved(name: str) -> None:
    proof = PROOFS[name](Path("build/formal"))
    assert proof.assertions >= 9 and proof.covers >= 2


def test_a_wrong_rule_is_refuted() -> None:
    with pytest.raises(ProofError, match="fails within"):
        prove(DecoderRules(longest=2), name="cobs_decoder_wrong", depth=4, cover_depth=4)
