"""Catalogue entries of the framer, with their golden functions."""
from __future__ import annotations

from functools import partial

import numpy as np

from ..design import Design, Streams
from ..frame import cobs_encode
from .cobs import CobsDecoder, CobsEncoder

__all__ = ["DESIGNS", "decoded", "writes"]


def decoded(streams: Streams) -> Streams:
    """Tokens of a stream of bytes; what no delimiter ended is decoded as far as it came."""
    rows: list[tuple[int, int, int]] = []
    left, full, inside = 0, False, False
    for byte in streams["i"]["data"].tolist():
        if byte == 0:
            if inside:
                rows.append((0, 1, int(left > 0)))
            left, inside = 0, False
        elif left:
            rows.append((byte, 0, 0))
            left -= 1
        else:
            if inside and not full:
                rows.append((0, 0, 0))
            left, full, inside = byte - 1, byte == 255, True
    table = np.array(rows, np.int64).reshape(-1, 3)
    return {"o": {"data": table[:, 0], "end": table[:, 1], "error": table[:, 2]}}


def writes(streams: Streams) -> Streams:
    """Memory writes of a stream of content bytes and ends, in the encoder's order: a coding byte after its block."""
    rows: list[tuple[int, int]] = []
    start, here = 0, 1
    for byte, end in zip(streams["i"]["data"].tolist(), streams["i"]["end"].tolist(), strict=True):
        if here - start == 255 and not end:
            rows.append((start, 255))
            start, here = here, here + 1
        if end:
            rows += [(start, here - start), (here, 0)]
            start, here = 0, 1
        elif byte:
            rows.append((here, byte))
            here += 1
        else:
            rows.append((start, here - start))
            start, here = here, here + 1
    table = np.array(rows, np.int64).reshape(-1, 2)
    return {"o": {"address": table[:, 0], "data": table[:, 1]}}


def contents(rng: np.random.Generator) -> list[bytes]:
    """Contents around the lengths at which blocks end, and with few, many and only zeros."""
    sizes = [0, 1, 2, 14, 253, 254, 255, 256, 300, *rng.integers(1, 280, 12)]
    return [rng.choice(256, size, p=_weights(zeros)).astype(np.uint8).tobytes() for size in sizes for zeros in (0, 0.01, 0.3)]


def _weights(zeros: float) -> np.ndarray:
    return np.concatenate([[zeros], np.full(255, (1 - zeros) / 255)])


def _coded(rng: np.random.Generator) -> Streams:
    pieces = [cobs_encode(content) + b"\0" * rng.integers(1, 3) for content in contents(rng)]
    pieces += [piece[:rng.integers(len(piece) + 1)] + b"\0" for piece in pieces] + [rng.bytes(700) + b"\0"]
    return {"i": {"data": np.frombuffer(b"".join(pieces), np.uint8).astype(np.int64)}}


def _content(rng: np.random.Generator) -> Streams:
    rows = [row for content in contents(rng) for row in [*((byte, 0) for byte in content), (int(rng.integers(256)), 1)]]
    table = np.array(rows, np.int64)
    return {"i": {"data": table[:, 0], "end": table[:, 1]}}


DESIGNS = (
    Design(name="cobs_decoder", summary="Bytes between delimiters to the content of frames.", params={}, component=CobsDecoder,
           golden=decoded, stimulus=_coded),
    Design(name="cobs_encoder", summary="Content of frames to the memory writes that code it.", params={"address_width": 9},
           component=partial(CobsEncoder, address_width=9), golden=writes, stimulus=_content),
)
