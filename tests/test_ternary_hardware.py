# amaranth: UnusedElaboratable=no
"""Ternary units without block RAM: odd shapes, carry cells, walks through tables, orders of packed weights, and what is refused."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
import re

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Cat, Cover, Elaboratable, Module, Signal
import numpy as np
import pytest

from mantissa.design import Design
from mantissa.hw.carry import Chain, Term, plain
from mantissa.hw.designs_ternary import ternary_dot, ternary_serial, tlmm_lut_ram, trit_unpack
from mantissa.hw.ternary_dot import TernaryDot
from mantissa.hw.ternary_serial import TernarySerial
from mantissa.hw.tlmm_lut_ram import TlmmLutRam
from mantissa.hw.tlmm_walk import TableWalk, steps
from mantissa.hw.trits import CODES, TritUnpack
from mantissa.sim_tb.formal import prove
from mantissa.sim_tb.netlist import CARRY
from mantissa.sim_tb.simulate import check
from mantissa.ternary import pack_i2_s, pack_tq2_0, tl2_table

FOLDER = Path(__file__).parent.parent / "build" / "verify"

ODD = (
    *(ternary_dot(lanes, exact, fused) for lanes, exact, fused in (
        (2, True, True), (2, False, False), (3, False, True), (5, True, True), (7, True, False), (9, False, True), (12, False, False))),
    *(tlmm_lut_ram(tables, columns, half, exact, fused) for tables, columns, half, exact, fused in (
        (2, 1, True, True, True), (3, 2, True, False, True), (5, 1, True, True, True), (4, 2, True, False, False),
        (3, 1, False, True, True), (2, 2, False, False, False))),
    ternary_serial(1), ternary_serial(3, fused=False),
)


@pytest.mark.parametrize("design", ODD, ids=lambda design: design.name)
def test_odd_shapes(design: Design) -> None:
    assert check(design, stall="random", most=400) > 0


@pytest.mark.parametrize("design", [ternary_dot(3), ternary_dot(4, exact=False)], ids=lambda design: design.name)
def test_golden_dot(design: Design) -> None:
    given = design.stimulus(np.random.default_rng(3))["i"]
    found = design.golden({"i": given})["o"]["sum"]
    lanes = int(given["a"].shape[1])
    for a, w, total in zip(given["a"].tolist(), given["w"].tolist(), found.tolist(), strict=True):
        wanted = sum({-2: 0, -1: -x, 0: 0, 1: x}[trit] for x, trit in zip(a, w, strict=True))
        assert total == (wanted if design.params["exact"] else wanted + 128 * lanes - (w[-1] < 0))


@pytest.mark.parametrize("half", [True, False])
def test_golden_lookup(half: bool) -> None:
    """Against products of numbers taken one by one."""
    design = tlmm_lut_ram(2, 3, half=half)
    given = design.stimulus(np.random.default_rng(4))
    found = design.golden(given)["o"]["sums"].tolist()
    x, i, tile = given["i_x"]["x"].tolist(), given["i"], 0
    for n, last in enumerate(i["last"].tolist()):
        for q in range(3):
            wanted = 0
            for t in range(2):
                code = int(i["index"][n, q, t]) - (0 if half else 13)
                code = -code if half and i["sign"][n, q, t] else code
                trits = next(w for w in product((-1, 0, 1), repeat=3) if 9 * w[0] + 3 * w[1] + w[2] == code)
                wanted += sum(w * x[3 * tile + k][t] for k, w in enumerate(trits))
            assert found[n][q] == wanted
        tile += last


@pytest.mark.parametrize("x", [(-128, -128, -128), (127, -128, 127), (3, -50, 7)])
def test_walk(x: tuple[int, int, int]) -> None:
    """What is written at each entry, from the activation in front and no other."""
    for half in (True, False):
        written, ring, total = {}, list(x), 0
        for n, step in enumerate(steps(half)):
            assert written.setdefault(step.entry, total) == total
            total = 0 if n % 16 == 15 else total + step.sign * ring[0]
            ring = ring[step.turn:] + ring[:step.turn]
        half_table = tl2_table(np.array(x))[0].tolist()
        full_table = [-value for value in half_table[:0:-1]] + half_table
        assert [written[entry] for entry in range(14 if half else 27)] == (half_table if half else full_table)


class _Twins(Elaboratable):
    """First adders, one that follows, a row with a constant, and a select of three signals, in carry cells and described."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        free = {name: Signal(width, name=name) for name, width in (("a", 8), ("b", 8), ("c", 10), ("flags", 6))}
        for signal in free.values():
            m.d.comb += signal.eq(AnySeq(len(signal)))
        a, b, c, flags = free.values()
        positive, carry, take, negative, other, later = flags
        signs = {bit: Signal(name=f"sign_{bit}") for bit in (0, 1)}
        m.d.comb += [signs[0].eq(carry), signs[1].eq(~positive)]
        results = []
        for cells in (True, False):
            chain = Chain(m, f"lanes_{cells}", cells=cells)
            x = [*(Term(0b0110, (bit, signs[0])) for bit in a[:7]), Term(0b1001, (a[7], signs[0]))]
            y = [*(Term(0b0110, (bit, signs[1])) for bit in b[:7]), Term(0b0110, (b[7], positive))]
            pair = chain.add(x, y, 9, carry=carry, fits=True)
            more = chain.add([plain(bit) for bit in pair], [plain(bit) for bit in c[:9]], 10, carry=other, fits=True)
            row = chain.add([plain(bit) for bit in more], [Term(n == 9 or n == 10) for n in range(11)], 11, carry=later, fits=True)
            chain.close()
            select = Chain(m, f"select_{cells}", cells=cells)
            chosen = select.add([plain(bit) for bit in c], [Term(0b01111000, (bit, take, negative)) for bit in [*a, a[7], a[7]]], 10,
                                carry=negative, fits=True)
            select.close()
            results.append(Cat(*pair, *more, *row, *chosen))
        m.d.comb += [Assert(results[0] == results[1]), Cover(results[0][1] & take)]
        return m


def test_cells_equal_their_description() -> None:
    proof = prove(_Twins(), name="twins_ternary", depth=1, cover_depth=2, ports=(), library=[CARRY], folder=FOLDER)
    assert proof.assertions == 1 and proof.covers == 1


def test_orders_of_bytes() -> None:
    """Which weights the trits of a byte are, in the formats that pack four to a byte."""
    trits = np.random.default_rng(6).integers(-1, 2, 256).astype(np.int8)
    for packed, code, rows in ((pack_tq2_0(trits)[0], "low_first", trits.reshape(2, 4, 32)),
                               (pack_i2_s(trits, "i2_s_x86"), "high_first", trits.reshape(2, 4, 32)),
                               (pack_i2_s(trits, "i2_s_arm"), "high_first", trits.reshape(4, 4, 16))):
        found = trit_unpack(code).golden({"i": {"code": packed}})["o"]
        assert not found["bad"].any()
        assert (found["trits"] == np.moveaxis(rows, 1, -1).reshape(-1, 4)).all()


@pytest.mark.parametrize("code", CODES)
def test_codes_without_trits(code: str) -> None:
    bits, trits, values = CODES[code]
    design = trit_unpack(code)
    found = design.golden({"i": {"code": np.arange(1 << bits)}})["o"]
    assert (found["bad"] == 0).sum() == 3 ** trits
    assert [tuple(row) if good else None for row, good in zip(found["trits"].tolist(), found["bad"] == 0, strict=True)] == [
        values(n) for n in range(1 << bits)]
    assert check(replace(design, stimulus=lambda _: {"i": {"code": np.arange(1 << bits)}}), stall="none") == 1 << bits


REFUSED: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: TernaryDot(1), ValueError, "Lanes must be an integer of at least 2, not 1"),
    (lambda: TernaryDot(2.0), TypeError, "Lanes must be an integer of at least 2, not 2.0"),      # pyright: ignore[reportArgumentType]
    (lambda: TernaryDot(8, exact=1), TypeError, "Exact must be True or False, not 1"),
    (lambda: TernaryDot(8, fused="yes"), TypeError, "Fused must be True or False, not 'yes'"),    # pyright: ignore[reportArgumentType]
    (lambda: TernaryDot(8, cells=None), TypeError, "Cells must be True or False, not None"),      # pyright: ignore[reportArgumentType]
    (lambda: TlmmLutRam(1, 4), ValueError, "Tables must be an integer of at least 2, not 1"),
    (lambda: TlmmLutRam(2, 0), ValueError, "Columns must be an integer of at least 1, not 0"),
    (lambda: TlmmLutRam(2, 4, half=0), TypeError, "Half must be True or False, not 0"),
    (lambda: TableWalk(fused=0), TypeError, "Fused must be True or False, not 0"),
    (lambda: TernarySerial(0), ValueError, "Depth must be a positive integer, not 0"),
    (lambda: TernarySerial(True), TypeError, "Depth must be a positive integer, not True"),
    (lambda: TritUnpack("i2_s"), ValueError, "Code must be one of tl1, tl2, radix3, tq1_0, low_first, high_first, not 'i2_s'"),
)


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_refused(make: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        make()
