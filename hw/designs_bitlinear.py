"""Catalogue entries of BitLinear's arithmetic, with their golden functions."""
from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from .. import golden
from ..bitlinear import Dyadic, gated_square, output_scale, skip_zeros
from ..design import Design, Streams
from ..ternary_norm import norm_absmax
from .gated_square import GatedSquare
from .output_scale import ROOT_BITS, OutputScale
from .rms_quantize import RmsQuantize
from .scale_add import ScaleAdd
from .skip_zeros import SkipZeros

__all__ = ["DESIGNS"]


def _tokens(last: np.ndarray, depth: int) -> Iterator[slice]:
    """Tokens of a stream, which end with ``last`` or at ``depth`` values; one that does not end gives nothing."""
    begin = 0
    for n, ends in enumerate(last):
        if ends or n + 1 - begin == depth:
            yield slice(begin, n + 1)
            begin = n + 1


def _columns(rows: list[dict[str, Any]], **kinds: type) -> dict[str, np.ndarray]:
    """Fields of rows, scalars or arrays, one after the other."""
    return {name: np.concatenate([np.atleast_1d(np.asarray(row[name], kind)) for row in rows] or [np.zeros(0, kind)])
            for name, kind in kinds.items()}


def _lengths(rng: np.random.Generator, count: int, depth: int) -> np.ndarray:
    """Marks of the last of each token: short ones, of one value, of the most, and one that ends by itself."""
    lengths = np.concatenate([[1, depth, 2, 1], rng.integers(1, depth, count // depth + 4)])
    last = np.zeros(int(lengths.sum()) + depth, np.int64)
    last[np.cumsum(lengths) - 1] = 1
    last[depth] = 0                                         # the second token ends at its depth
    return last


def _signed(rng: np.random.Generator, n: int, width: int) -> np.ndarray:
    """Numbers of any size, with the extremes among them."""
    top = 1 << width - 1
    values = rng.integers(-top, top, n) >> rng.integers(0, width, n)
    return np.where(rng.random(n) < 0.06, rng.choice([-top, top - 1, 0, 1, -1], n), values)


def _quantised(depth: int, streams: Streams) -> Streams:
    i = streams["i"]
    codes, scales = [], []
    for token in _tokens(i["last"], depth):
        found = norm_absmax(i["x"][token], i["gain"][token])
        size = len(found.codes)
        codes.append({"code": found.codes, "last": np.arange(size) == size - 1})
        scales.append({"squares": int(found.squares), "largest": int(found.largest)})
    return {"o": _columns(codes, code=np.int64, last=np.int64), "o_scale": _columns(scales, squares=np.int64, largest=np.int64)}


def _norm_stimulus(width: int, gain_width: int, depth: int, rng: np.random.Generator) -> Streams:
    """Tokens of every size of number, of zeros, and of small ones, which make ties."""
    last = _lengths(rng, 900, depth)
    n = len(last)
    token = np.concatenate([[0], np.cumsum(last)[:-1]])
    x, gain = _signed(rng, n, width), _signed(rng, n, gain_width)
    small = token % 3 == 1
    x, gain = np.where(small, np.clip(x, -100, 100), x), np.where(small, 1, gain)
    x = np.where(token % 7 == 5, 0, x)
    rows = [{"x": x, "gain": gain, "last": last}, *_ties(rng, width, gain_width, depth)]
    return {"i": _columns(rows, x=np.int64, gain=np.int64, last=np.int64)}


def _ties(rng: np.random.Generator, width: int, gain_width: int, depth: int) -> Iterator[dict[str, np.ndarray]]:
    """Tokens of a largest number and of what 127 times it divides to half a code, or to a power of two more, of every size. Operands have
    nine bits or more."""
    half, over = np.meshgrid(np.arange(1, 254, 2), [0, *(1 << np.arange(width - 1))])
    for n in range(60):
        if n % 3:
            largest = 1 << rng.integers(1, width - 1) if n % 3 == 1 else 2 * rng.integers(1, 1 << width - 2)
        else:
            largest = 254 * rng.integers(1, (1 << width - 1) // 254)
        total = half * largest + over
        x = np.append(largest, rng.permutation(total[(total % 254 == 0) & (over < largest)] // 254)[:depth - 1])
        x = rng.permutation(x * rng.choice([-1, 1], len(x)))
        yield {"x": x, "gain": np.full(len(x), 1 << rng.integers(0, gain_width - 1)), "last": np.arange(len(x)) == len(x) - 1}


def rms_quantize(*, width: int = 16, gain_width: int = 16, depth: int) -> Design:
    """Entry of an :class:`RmsQuantize`."""
    params = {"width": width, "gain_width": gain_width, "depth": depth}
    return Design(
        name=f"rms_quantize_{width}x{gain_width}_d{depth}",
        summary=f"RMSNorm and absmax quantisation in one pass, tokens of up to {depth} values of {width} bits",
        params=params, component=partial(RmsQuantize, **params), golden=partial(_quantised, depth),
        stimulus=partial(_norm_stimulus, width, gain_width, depth))


def _scales(bits: int, streams: Streams) -> Streams:
    i = streams["i"]
    rows = []
    for squares, largest, eps, multiplier, shift in zip(*(i[name] for name in ("squares", "largest", "eps", "multiplier", "shift")),
                                                        strict=True):
        found = output_scale(int(squares), int(largest), Dyadic(np.asarray(multiplier), np.asarray(shift)), int(eps), bits=bits)
        rows.append({"b": int(found.multiplier), "c": int(found.shift)})
    return {"o": _columns(rows, b=np.int64, c=np.int64)}


def _scale_stimulus(squares_width: int, largest_width: int, bits: int, rng: np.random.Generator) -> Streams:
    """Numbers of any size, zeros, all ones, squares and their neighbours; constants that lead to every shift and beyond; what is just
    rounded up or down."""
    n = 400
    top = 1 << min(squares_width, 62)
    squares = rng.integers(0, top, n) >> rng.integers(0, squares_width, n)
    root = rng.integers(1, int(top ** 0.5), n)
    squares = np.where(rng.random(n) < 0.3, np.clip(root * root + rng.integers(-1, 2, n), 0, top - 1), squares)
    squares = np.where(rng.random(n) < 0.05, rng.choice([0, 1, top - 1], n), squares)
    most = 1 << largest_width
    largest = rng.integers(0, most, n) >> rng.integers(0, largest_width, n)
    largest = np.where(rng.random(n) < 0.05, rng.choice([0, 1, most - 1], n), largest)
    eps = np.where(rng.random(n) < 0.5, 0, rng.integers(0, 1 << 32, n) >> rng.integers(0, 32, n))
    multiplier = rng.integers(1 << bits - 1, 1 << bits, n)
    multiplier = np.where(rng.random(n) < 0.1, rng.choice([1 << bits - 1, (1 << bits) - 1], n), multiplier)
    shift = np.where(rng.random(n) < 0.6, rng.integers(10, 60, n), rng.integers(-128, 128, n))
    near, near_squares, near_largest = rng.random(n) < 0.35, *_near_half(multiplier, squares_width, largest_width, bits, rng)
    return {"i": {"squares": np.where(near, near_squares, squares), "largest": np.where(near, near_largest, largest),
                  "eps": np.where(near, 0, eps), "multiplier": multiplier, "shift": shift}}


def _near_half(multiplier: np.ndarray, squares_width: int, largest_width: int, bits: int, rng: np.random.Generator
               ) -> tuple[np.ndarray, np.ndarray]:
    """Squares and largest magnitudes whose root, quotient and product with ``multiplier`` are on or next to a half, that of all ones often:
    where one more or less in any of them is another result. Of sums of 36 bits and more, and magnitudes of 18 and more."""
    n, size = ROOT_BITS, len(multiplier)
    root = rng.integers(1 << n - 1, 1 << n, size)
    squares = root * root + np.choose(rng.integers(0, 4, size), [0, 1, 2 * root, rng.integers(0, 2 * root + 1)])
    odd = np.where(rng.random(size) < 0.3, (2 << bits) - 1, rng.integers(1 << bits, 2 << bits, size) | 1)
    half = odd << n - rng.integers(1, 3, size)
    quotient = np.clip(-(-half // multiplier), 1 << n - 1, (1 << n) - 1)
    largest = np.where(quotient * root < 1 << 2 * n - 1, -(-quotient * root >> n - 1), -(-quotient * root >> n)) - rng.integers(0, 2, size)
    low = rng.integers(0, largest_width - n + 1, size)
    return squares << 2 * rng.integers(0, squares_width // 2 - n + 1, size), (np.clip(largest, 1, None) << low) + rng.integers(0, 1 << low)


def bitlinear_scale(*, squares_width: int = 43, largest_width: int = 31, bits: int) -> Design:
    """Entry of an :class:`OutputScale`."""
    params = {"squares_width": squares_width, "largest_width": largest_width, "bits": bits}
    return Design(
        name=f"bitlinear_scale_b{bits}", summary=f"Output scale of a BitLinear as a dyadic of {bits} bits, serial root and division",
        params=params, component=partial(OutputScale, **params), golden=partial(_scales, bits),
        stimulus=partial(_scale_stimulus, squares_width, largest_width, bits))


def _added(width: int, streams: Streams) -> Streams:
    i, limit = streams["i"], 1 << width - 1
    y = golden.requantize(i["acc"], i["b"], i["c"], zero_point=i["residual"], low=-limit, high=limit - 1)
    return {"o": {"y": y.astype(np.int64)}}


def _add_stimulus(acc_width: int, bits: int, width: int, rng: np.random.Generator) -> Streams:
    """Results in and around the output's bits, ties, extremes, and anything."""
    n = 1200
    b, c = rng.integers(0, 1 << bits, n) >> rng.integers(0, bits, n), rng.integers(0, 64, n)
    c = np.where(rng.random(n) < 0.7, rng.integers(0, bits + 14, n), c)
    top, acc_top = 1 << width - 1, (1 << acc_width - 1) - 1
    target = rng.integers(-3 * top, 3 * top, n) + rng.choice([0, 0.5], n)
    near = np.clip(np.rint(target * 2.0 ** c / np.maximum(b, 1)), -acc_top - 1, acc_top).astype(np.int64)
    acc = np.where(rng.random(n) < 0.6, near, _signed(rng, n, acc_width))
    power = rng.random(n) < 0.25                            # ties, and a bit beside them
    by = rng.integers(0, bits, n)
    b, c = np.where(power, 1 << by, b), np.where(power, by + rng.integers(1, 9, n), c)
    acc = np.where(power, rng.integers(-1 << 14, 1 << 14, n), acc)
    far = rng.random(n) < 0.25                              # one bit far up that is not the sign's
    by = rng.integers(0, bits, n)
    b, c = np.where(far, 1 << by, b), np.where(far, rng.integers(0, by + 1), c)
    acc = np.where(far, (1 << rng.integers(0, acc_width - 1, n)) ^ -rng.integers(0, 2, n), acc)
    return {"i": {"acc": acc, "b": b, "c": c, "residual": _signed(rng, n, width)}}


def scale_add(*, acc_width: int = 32, bits: int, width: int = 16) -> Design:
    """Entry of a :class:`ScaleAdd`."""
    params = {"acc_width": acc_width, "bits": bits, "width": width}
    return Design(
        name=f"scale_add_acc{acc_width}_b{bits}", summary=f"Sums of {acc_width} bits times a dyadic of {bits}, {width}-bit residual added",
        params=params, component=partial(ScaleAdd, **params), golden=partial(_added, width),
        stimulus=partial(_add_stimulus, acc_width, bits, width), stateless=True)


def _squared(out_width: int, depth: int, streams: Streams) -> Streams:
    i = streams["i"]
    rows = []
    for token in _tokens(i["last"], depth):
        y, exponent = gated_square(i["gate"][token], i["up"][token], out_width)
        rows.append({"y": y, "exponent": np.full(len(y), int(exponent)), "last": np.arange(len(y)) == len(y) - 1})
    return {"o": _columns(rows, y=np.int64, exponent=np.int64, last=np.int64)}


def _square_stimulus(width: int, out_width: int, depth: int, rng: np.random.Generator) -> Streams:
    """Tokens whose numbers have up to any number of bits; powers of two, for ties and what differs from one in a bit."""
    last = _lengths(rng, 900, depth)
    n = len(last)
    token = np.concatenate([[0], np.cumsum(last)[:-1]])
    down = rng.integers(0, width - 1, int(token[-1]) + 1)[token]
    gate, up = _signed(rng, n, width) >> down, _signed(rng, n, width) >> down // 2
    power = rng.random(n) < 0.2
    gate = np.where(power, 1 << rng.integers(0, width - 1 - down), gate)
    half = rng.integers(0, width - 1, n)                    # what may be a tie but for one bit below
    lone = (rng.integers(0, 4, n) << half + 1 | 1 << half | 1 << rng.integers(0, width - 1, n)) & (1 << width - 1) - 1
    up = np.where(power & (rng.random(n) < 0.8), lone * rng.choice([-1, 1], n), up)
    rows = [{"gate": gate, "up": up, "last": last}, *_lone(rng, width, out_width, depth)]
    return {"i": _columns(rows, gate=np.int64, up=np.int64, last=np.int64)}


def _lone(rng: np.random.Generator, width: int, out_width: int, depth: int) -> Iterator[dict[str, np.ndarray]]:
    """Tokens of pairs whose products have under the result's last bit, 0, a half and one bit more, however far below."""
    most = 1 << width - 1
    found: dict[int, list[tuple[int, int]]] = {}
    for gate, apart in zip((rng.integers(0, most // 2, 6000) * 2 + 1).tolist(), rng.integers(1, width + 4, 6000).tolist(), strict=True):
        up = (1 + (1 << apart)) * pow(gate * gate, -1, 4 << apart) % (4 << apart)
        if up < most:
            twice, once = (int(rng.integers(0, width - x.bit_length())) for x in (gate, up))
            found.setdefault(apart + 2 * twice + once + 1, []).append((gate << twice, up << once))
    for exponent, pairs in found.items():
        top = exponent + out_width - 2                      # of the token's largest product, of powers of two
        if top <= 3 * (width - 2):
            twice = min(top // 2, width - 2)
            gate, up = np.array([(1 << twice, 1 << top - 2 * twice), *pairs[:depth - 1]]).T
            yield {"gate": gate, "up": up * rng.choice([-1, 1], len(up)), "last": np.arange(len(up)) == len(up) - 1}


def gated(*, width: int = 16, out_width: int = 16, depth: int) -> Design:
    """Entry of a :class:`GatedSquare`."""
    params = {"width": width, "out_width": out_width, "depth": depth}
    return Design(
        name=f"gated_square_{width}_d{depth}", summary=f"Squared relu times a gated value, one exponent for a token of up to {depth}",
        params=params, component=partial(GatedSquare, **params), golden=partial(_squared, out_width, depth),
        stimulus=partial(_square_stimulus, width, out_width, depth))


def _skipped(depth: int, streams: Streams) -> Streams:
    i = streams["i"]
    rows, counts = [], []
    for token in _tokens(i["last"], len(i["last"]) + 1):
        found = skip_zeros(i["code"][token])
        kept = len(found.places)
        rows.append({"index": found.places if kept else 0, "value": found.value if kept else 0,
                     "last": np.arange(max(kept, 1)) == max(kept, 1) - 1})
        counts.append({"kept": kept, "skipped": found.saved})
    return {"o": _columns(rows, index=np.int64, value=np.int64, last=np.int64),
            "o_count": _columns(counts, kept=np.int64, skipped=np.int64)}


def _skip_stimulus(width: int, depth: int, rng: np.random.Generator) -> Streams:
    """Tokens of many zeros, of none and of nothing else; of one value and of the most."""
    last = _lengths(rng, 900, depth)
    last[depth] = 1                                         # none is longer than indices reach
    last = last[:np.flatnonzero(last)[-1] + 1]
    token = np.concatenate([[0], np.cumsum(last)[:-1]])
    dense = rng.choice([0, 0.1, 0.4, 1], int(token[-1]) + 1)[token]
    code = np.where(rng.random(len(last)) < dense, _signed(rng, len(last), width), 0)
    full = np.repeat(rng.permutation([0, -1]), depth)       # the most that either count can be
    return {"i": {"code": np.append(full, code), "last": np.append((np.arange(2 * depth) + 1) % depth == 0, last)}}


def skip(*, width: int = 8, depth: int) -> Design:
    """Entry of a :class:`SkipZeros`."""
    params = {"width": width, "depth": depth}
    return Design(
        name=f"skip_zeros_d{depth}", summary=f"Non-zero values of tokens of up to {depth}, with their indices",
        params=params, component=partial(SkipZeros, **params), golden=partial(_skipped, depth),
        stimulus=partial(_skip_stimulus, width, depth))


DESIGNS: tuple[Design, ...] = (
    rms_quantize(depth=64), bitlinear_scale(bits=16), bitlinear_scale(bits=8), scale_add(bits=16), gated(depth=64), skip(depth=64),
)
