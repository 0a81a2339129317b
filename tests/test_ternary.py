"""Packings of trits, against definitions spelled out by element and the formats' own libraries; the exact product."""
from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path
import sys

import gguf
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from llm_files import hf_bytes, i2_s_bytes, random_trits, tq_bytes  # noqa: E402

from mantissa.errors import MantissaError  # noqa: E402
from mantissa.ternary import (I2_S, check_trits, gray_walk, pack_i2_s, pack_radix3, pack_rows, pack_tq1_0, pack_tq2_0, radix3_index,  # noqa: E402
                              table, tl1_index, tl1_trits, tl2_index, tl2_table, tl2_trits, unpack_i2_s, unpack_radix3, unpack_rows,
                              unpack_tq1_0, unpack_tq2_0)
from mantissa.ternary_product import TernaryWeights  # noqa: E402
from mantissa.ternary_tiles import tile, tiles, untile  # noqa: E402


def every(group: int) -> np.ndarray:
    return np.array(list(product((-1, 0, 1), repeat=group)), np.int8)


@pytest.mark.parametrize("group", range(1, 8))
def test_radix3_index(group: int) -> None:
    for trits in every(group):
        assert radix3_index(trits, group).tolist() == [sum((int(t) + 1) * 3 ** i for i, t in enumerate(trits))]


def test_radix3_bytes() -> None:
    packed = pack_radix3(every(5))
    assert sorted(packed.reshape(-1).tolist()) == list(range(243))
    assert (packed == radix3_index(every(5))).all()
    assert (unpack_radix3(packed) == every(5)).all()
    for byte in range(243, 256):
        with pytest.raises(MantissaError, match=f"^Radix-3 weights must be bytes of trits, which {byte} is not$"):
            unpack_radix3(np.array([121, byte], np.uint8))


@pytest.mark.parametrize("group", (3, 5))
def test_table_is_the_product(group: int) -> None:
    values = np.random.default_rng(1).integers(-128, 128, (2, 4 * group))
    sums = table(values, group)
    assert sums.shape == (2, 4, 3 ** group)
    for trits in every(group):
        index = int(radix3_index(trits, group)[0])
        assert (sums[..., index] == (values.reshape(2, 4, group) * trits).sum(axis=-1)).all()


@pytest.mark.parametrize("group", range(1, 6))
def test_gray_walk_builds_the_table(group: int) -> None:
    values = np.random.default_rng(2).integers(-128, 128, group)
    running, built = -int(values.sum()), {}
    for step in gray_walk(group):
        assert step.sign in ((-1, 1) if built else (0,))
        running += step.sign * int(values[step.element])
        built[step.entry] = running
    assert [built[i] for i in range(3 ** group)] == table(values, group)[0].tolist()
    assert [step.entry for step in gray_walk(2)] == [0, 1, 2, 5, 4, 3, 6, 7, 8]


def test_tl1() -> None:
    assert tl1_index(every(2)).tolist() == [[3 * int(a) + int(b) + 4] for a, b in every(2)]
    assert (tl1_trits(tl1_index(every(2))) == every(2)).all()


def test_tl2() -> None:
    index, sign = tl2_index(every(3))
    assert len(set(zip(index.reshape(-1).tolist(), sign.reshape(-1).tolist(), strict=True))) == 27
    for trits, i, s in zip(every(3).tolist(), index[:, 0].tolist(), sign[:, 0].tolist(), strict=True):
        value = 9 * trits[0] + 3 * trits[1] + trits[2]
        assert (i, s) == (abs(value), int(value < 0))
    assert (tl2_trits(index, sign) == every(3)).all()
    b0, b1, b2 = values = [100, -128, 7]
    half = [0, b2, b1 - b2, b1, b1 + b2, b0 - b1 - b2, b0 - b1, b0 - b1 + b2, b0 - b2, b0, b0 + b2, b0 + b1 - b2, b0 + b1, b0 + b1 + b2]
    assert tl2_table(values)[0].tolist() == half
    signed = np.where(sign[:, 0] == 1, -tl2_table(values)[0][index[:, 0]], tl2_table(values)[0][index[:, 0]])
    assert (signed == every(3).astype(int) @ values).all()


def test_packed_rows() -> None:
    trits = random_trits(24, 10)
    assert (pack_rows(trits) == hf_bytes(trits)).all()
    assert (unpack_rows(hf_bytes(trits)) == trits).all()


@pytest.mark.parametrize("layout", I2_S)
def test_i2_s(layout: str) -> None:
    trits = random_trits(8, 384, 3)
    packed = pack_i2_s(trits, layout)
    assert (packed.reshape(-1) == i2_s_bytes(trits, layout)).all()
    assert (unpack_i2_s(packed, layout) == trits).all()


@pytest.mark.parametrize("kind, pack, unpack", [("tq1_0", pack_tq1_0, unpack_tq1_0), ("tq2_0", pack_tq2_0, unpack_tq2_0)])
def test_gguf_blocks(kind, pack, unpack) -> None:
    trits = np.concatenate([random_trits(7, 512, 4), np.resize(every(5), (7, 512)), np.zeros((1, 512), np.int8)])
    stored = tq_bytes(trits, kind, 0.5).reshape(15, 2, -1)
    assert (pack(trits) == stored[..., :-2]).all()
    assert (unpack(stored[..., :-2]) == trits).all()
    assert (gguf.quants.dequantize(stored.reshape(15, -1), gguf.GGMLQuantizationType[kind.upper()]) == 0.5 * unpack(stored[..., :-2])).all()


def test_tq1_0_takes_exactly_what_trits_make() -> None:
    """Every byte at every kind of place: 243 are trits, 81 where there are but four of them."""
    made = {-(-q * 256 // 243) for q in range(243)}
    for place, good in ((0, made), (40, made), (50, {-(-q * 256 // 243) for q in range(0, 243, 3)})):
        block = pack_tq1_0(np.zeros(256, np.int8))
        for byte in range(256):
            block[0, place] = byte
            if byte in good:
                assert (pack_tq1_0(unpack_tq1_0(block)) == block).all()
            else:
                with pytest.raises(MantissaError, match=f"^TQ1_0 weights must be bytes of trits, which {byte} is not$"):
                    unpack_tq1_0(block)


@pytest.mark.parametrize("rows, columns, tables", [(3, 40, 8), (4, 41, 8), (1, 1, 1), (5, 199, 3), (2, 64, 16)])
def test_tiles(rows: int, columns: int, tables: int) -> None:
    trits = random_trits(rows, columns, 5)
    packed = tile(trits, tables)
    assert packed.shape == (tiles(columns, tables), rows, tables) and packed.dtype == np.uint8
    wide = np.zeros((rows, packed.shape[0] * tables * 5), np.int8)
    wide[:, :columns] = trits
    for t, n, b in np.ndindex(packed.shape):
        first = (t * tables + b) * 5
        assert packed[t, n, b] == sum((int(wide[n, first + i]) + 1) * 3 ** i for i in range(5))
    assert (untile(packed, columns) == trits).all()


def test_padding_must_be_zeros() -> None:
    packed = tile(np.ones((2, 39), np.int8), 8).copy()
    packed[0, 1, 7] = 242
    with pytest.raises(MantissaError, match="^Tiles must be padded with zeros after 39 columns$"):
        untile(packed, 39)


def test_engine_of_tiles_is_the_product() -> None:
    """Tables addressed by the bytes as they lie, added up tile by tile: what the device does."""
    trits, x = random_trits(6, 150, 6), np.random.default_rng(7).integers(-128, 128, 150)
    packed = tile(trits, 4)
    padded = np.zeros(packed.shape[0] * 20, np.int64)
    padded[:150] = x
    sums = table(padded).reshape(-1, 4, 243)
    out = sum(sums[t, b, packed[t, :, b]] for t in range(len(packed)) for b in range(4))
    assert (out == TernaryWeights(trits)(x)).all() and (out == trits.astype(int) @ x).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (0, 4, 4), (2, 0, 3), (2, 3, 0), (5, 960, 3), (2, 961, 4), (1, 6912, 5),
                                   (70, 2000, 301)])
def test_product_is_exact(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    x, w = np.random.default_rng(8).integers(-128, 128, (m, k), np.int8), random_trits(n, k, 9)
    out = TernaryWeights(w)(x)
    assert out.dtype == np.int32 and (out == x.astype(np.int64) @ w.T.astype(np.int64)).all()


@pytest.mark.parametrize("value", (-128, 127))
@pytest.mark.parametrize("columns", (960, 1920, 2560))
def test_product_at_its_extremes(value: int, columns: int) -> None:
    """Every combination of signs of the three sums that share a float, each as large as it gets."""
    signs = every(3)
    for trio in signs:
        w = np.repeat(trio[:, None], columns, axis=1)
        x = np.full(columns, value)
        assert TernaryWeights(w)(x).tolist() == [int(t) * value * columns for t in trio]
    wide = np.concatenate([np.full((1, 1 << 20), sign, np.int8) for sign in (-1, 1)])
    assert TernaryWeights(wide)(np.full(1 << 20, value, np.int8)).tolist() == [-(value << 20), value << 20]
    bound = 960 * 128 * sum(Fraction(2) ** (18 * lane) for lane in range(3))
    assert bound < 2 ** 53


@pytest.mark.parametrize("call, sentence", [
    (lambda: check_trits([0, 2]), "Weights must be -1, 0 or 1, not 2"),
    (lambda: check_trits([0.5]), "Weights must be integers, not float64"),
    (lambda: pack_radix3(np.zeros(6, np.int8)), "Radix-3 byte needs a multiple of 5 weights in a row, not 6"),
    (lambda: radix3_index(np.zeros(4, np.int8), 3), "Radix-3 index needs a multiple of 3 weights in a row, not 4"),
    (lambda: radix3_index(np.zeros(4, np.int8), 0), "Group must be of 1 to 39 trits, not 0"),
    (lambda: unpack_radix3(np.zeros(2, np.int16)), "Radix-3 weights must be bytes, not int16"),
    (lambda: table(np.zeros(4)), "Table needs a multiple of 5 activations, not 4"),
    (lambda: table(np.zeros(9), 9), "Group of a table must be of 1 to 8 trits, not 9"),
    (lambda: list(gray_walk(0)), "Group of a table must be of 1 to 8 trits, not 0"),
    (lambda: tl1_index(np.zeros(3, np.int8)), "TL1 needs a multiple of 2 weights in a row, not 3"),
    (lambda: tl1_trits(np.array([9], np.uint8)), "TL1 index must be at most 8, not 9"),
    (lambda: tl2_index(np.zeros(4, np.int8)), "TL2 needs a multiple of 3 weights in a row, not 4"),
    (lambda: tl2_trits(np.array([14], np.uint8), np.array([0], np.uint8)), "TL2 index must be at most 13, not 14"),
    (lambda: tl2_trits(np.array([1], np.uint8), np.array([2], np.uint8)), "TL2 sign must be 0 or 1, not 2"),
    (lambda: tl2_trits(np.array([0], np.uint8), np.array([1], np.uint8)), "TL2 sign must be 0 where the index is 0, not 1"),
    (lambda: tl2_table([1, 2]), "Table needs a multiple of 3 activations, not 2"),
    (lambda: pack_rows(np.zeros((6, 2), np.int8)), r"Packed rows need a multiple of 4 rows, not \(6, 2\)"),
    (lambda: unpack_rows(np.full((1, 2), 0xC0, np.uint8)), "Packed rows must have codes 0, 1 and 2, not 3"),
    (lambda: unpack_rows(np.zeros(3, np.uint8)), r"Packed rows must be \(N / 4, K\), not \(3,\)"),
    (lambda: pack_i2_s(np.zeros((4, 64), np.int8), "i2_s_x86"), "I2_S needs a multiple of 128 weights in a row, not 64"),
    (lambda: unpack_i2_s(np.zeros((1, 31), np.uint8), "i2_s_x86"), r"I2_S needs a multiple of 32 bytes, not \(1, 31\)"),
    (lambda: unpack_i2_s(np.full((1, 16), 3, np.uint8), "i2_s_arm"), "I2_S weights must have codes 0, 1 and 2, not 3"),
    (lambda: pack_i2_s(np.zeros((3, 64), np.int8), "i2_s_rows"), r"I2_S of interleaved rows needs a multiple of 4 rows, not \(3, 64\)"),
    (lambda: unpack_i2_s(np.zeros(4, np.uint8), "i2_s_rows"), r"I2_S of interleaved rows must be \(N / 4, K\), not \(4,\)"),
    (lambda: pack_i2_s(np.zeros((4, 64), np.int8), "i2_s"), "Layout of I2_S must be one of i2_s_x86, i2_s_arm, i2_s_rows, not 'i2_s'"),
    (lambda: pack_tq1_0(np.zeros(255, np.int8)), "TQ1_0 needs a multiple of 256 weights in a row, not 255"),
    (lambda: unpack_tq1_0(np.zeros((1, 54), np.uint8)), r"TQ1_0 weights must be blocks of 52 bytes, not \(1, 54\)"),
    (lambda: unpack_tq2_0(np.zeros((1, 66), np.uint8)), r"TQ2_0 weights must be blocks of 64 bytes, not \(1, 66\)"),
    (lambda: unpack_tq2_0(np.full((1, 64), 255, np.uint8)), "TQ2_0 weights must have codes 0, 1 and 2, not 3"),
    (lambda: tile(np.zeros(5, np.int8)), r"Ternary weights must be \(N, K\), not \(5,\)"),
    (lambda: tile(np.zeros((1, 5), np.int8), 0), "Tables must be an integer from 1 to 1024, not 0"),
    (lambda: untile(np.zeros((1, 2, 8), np.uint8), 41), r"Tiles of 41 columns must be \(tiles, N, tables\), not \(1, 2, 8\)"),
    (lambda: TernaryWeights(np.zeros(5, np.int8)), r"Ternary weights must be \(N, K\), not \(5,\)"),
    (lambda: TernaryWeights(np.zeros((1, (1 << 20) + 1), np.int8)), "Ternary weights must have at most 1048576 columns, not 1048577"),
    (lambda: TernaryWeights(np.zeros((2, 5), np.int8))(np.zeros(4, np.int8)), "Tokens must have 5 values, not 4"),
    (lambda: TernaryWeights(np.zeros((2, 1), np.int8))([128]), "Tokens must be within -128 and 127, not 128 and 128"),
    (lambda: TernaryWeights(np.zeros((2, 1), np.int8))([0.5]), "Tokens must be integers, not float64"),
])
def test_bad_input(call, sentence: str) -> None:
    with pytest.raises(MantissaError, match=f"^{sentence}$"):
        call()
