"""The host's codec, held against the cobs and fastcrc packages."""
from __future__ import annotations

import re

import cobs.cobs
import fastcrc
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from mantissa import frame
from mantissa.frame import HEADER_BYTES, MAX_LENGTH, Deframer, Frame, FrameError, cobs_decode, cobs_encode, decode_frame, encode_frame
from mantissa.hw import designs_link
from mantissa.registers import ABI
from mantissa.sim_tb import link_fuzz

frames = st.builds(Frame, type=st.integers(0, 255), status=st.integers(0, 255), nonce=st.integers(0, 2**32 - 1),
                   sequence=st.integers(0, 255), payload=st.binary(max_size=MAX_LENGTH))
runs = st.lists(st.tuples(st.integers(0, 255), st.sampled_from([0, 1, 2, 253, 254, 255, 508])), max_size=5)


@given(runs)
def test_cobs_equals_the_package(pieces: list[tuple[int, int]]) -> None:
    content = b"".join(bytes([byte]) * count for byte, count in pieces)
    assert cobs_encode(content) == cobs.cobs.encode(content)
    assert cobs_decode(cobs.cobs.encode(content)) == content


@given(st.binary(max_size=600))
def test_cobs_decoding_agrees_with_the_package(coded: bytes) -> None:
    try:
        content = cobs.cobs.decode(coded)
    except cobs.cobs.DecodeError:
        with pytest.raises(FrameError):
            cobs_decode(coded)
    else:
        assert cobs_decode(coded) == content


@given(frames)
def test_round_trip(sent: Frame) -> None:
    coded = encode_frame(sent)
    assert coded.index(0) == len(coded) - 1
    assert decode_frame(coded[:-1]) == sent


def test_golden_functions_of_the_framer_equal_the_package() -> None:
    rng = np.random.default_rng(5)
    for content in designs_link.contents(rng):
        coded = cobs.cobs.encode(content)
        tokens = designs_link.decoded({"i": {"data": np.frombuffer(coded + b"\0", np.uint8)}})["o"]
        assert bytes(tokens["data"][:-1].tolist()) == content and tokens["end"].tolist() == [0] * len(content) + [1]
        assert not tokens["error"].any()
        memory = bytearray(len(coded) + 1)
        sent = {"data": np.array([*content, 9]), "end": np.array([0] * len(content) + [1])}
        order = designs_link.writes({"i": sent})["o"]
        for address, byte in zip(order["address"].tolist(), order["data"].tolist(), strict=True):
            memory[address] = byte
        assert memory == coded + b"\0" and len(order["data"]) == len(coded) + 1


def test_layout() -> None:
    coded = encode_frame(Frame(type=2, status=3, nonce=0x01020304, sequence=5, payload=b"\6\7"))
    content = cobs.cobs.decode(coded[:-1])
    assert content[:12] == bytes([ABI, 2, 3, 4, 3, 2, 1, 5, 2, 0, 6, 7])
    assert content[12:] == fastcrc.crc32.iso_hdlc(content[:12]).to_bytes(4, "little")


@pytest.mark.parametrize("payload", [b"", bytes(3), bytes(range(256)) * 2])
def test_every_single_bit_flip_is_rejected(payload: bytes) -> None:
    coded = encode_frame(Frame(type=3, nonce=0x12345678, sequence=9, payload=payload))
    clean = Frame(type=1, nonce=1, sequence=1)
    flips = 0
    for bit in range(8 * len(coded)):
        damaged = bytearray(coded)
        damaged[bit // 8] ^= 1 << bit % 8
        deframer = Deframer()
        assert list(deframer.feed(bytes(damaged) + b"\0" + encode_frame(clean))) == [clean]
        flips += 1
    assert flips == 8 * len(coded)


@settings(max_examples=50)
@given(st.lists(frames, min_size=1, max_size=4), st.integers(1, 40))
def test_deframer_takes_any_pieces(sent: list[Frame], piece: int) -> None:
    coded = b"".join(map(encode_frame, sent))
    deframer = Deframer()
    assert [f for at in range(0, len(coded), piece) for f in deframer.feed(coded[at:at + piece])] == sent
    assert deframer.dropped == 0


def test_deframer_drops_what_is_too_long_and_goes_on() -> None:
    deframer, good = Deframer(), Frame(type=1, nonce=2, sequence=3)
    for _ in range(100):
        assert list(deframer.feed(b"\xaa" * 100)) == []
    assert list(deframer.feed(b"\0\0" + encode_frame(good))) == [good]
    assert deframer.dropped == 1
    assert list(deframer.feed(b"\x05\x01")) == []
    deframer.reset()
    assert list(deframer.feed(encode_frame(good))) == [good]


def coded(content: bytes) -> bytes:
    """A frame's bytes with a right checksum."""
    return cobs_encode(content + fastcrc.crc32.iso_hdlc(content).to_bytes(4, "little"))


@pytest.mark.parametrize(("data", "message"), [
    (b"\5\1\0\1", "Coded frame must not contain a zero byte, but byte 2 is one"),
    (b"\5abc", "Block of a coded frame must have 4 bytes, not 3"),
    (b"\2a", "Frame must have at least 14 bytes, not 1"),
    (cobs_encode(b"a" * HEADER_BYTES + b"\1\2\3\4"), "Frame's checksum must be 0x4c11cdf0, not 0x04030201"),
    (coded(bytes([ABI + 1, *bytes(9)])), f"Frame's version must be {ABI}, not {ABI + 1}"),
    (coded(bytes([ABI, *bytes(7), 2, 0, 65])), "Frame's payload must have 2 bytes, not 1"),
])
def test_what_is_no_frame(data: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=f"^{re.escape(message)}$"):
        decode_frame(data)


@pytest.mark.parametrize(("change", "message"), [
    ({"type": 256}, "Frame's type must be between 0 and 255, not 256"),
    ({"nonce": -1}, "Frame's nonce must be between 0 and 4294967295, not -1"),
    ({"sequence": 300}, "Frame's sequence must be between 0 and 255, not 300"),
    ({"payload": bytes(1029)}, "Frame's payload length must be between 0 and 1028, not 1029")])
def test_what_does_not_fit_a_frame(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        encode_frame(Frame(**{"type": 1, "nonce": 0, "sequence": 0, **change}))  # type: ignore[arg-type]


def test_fuzz_short() -> None:
    outcome = link_fuzz.codec(20_000, seed=2)
    assert outcome.violations == [] and outcome.cases >= 20_000
    assert 5_000 < outcome.counts["frames received"] < outcome.counts["frames sent"]


def test_fuzz_notices_a_codec_without_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "crc32", lambda data: 0x01020304)
    assert link_fuzz.codec(500, seed=2).violations != []
