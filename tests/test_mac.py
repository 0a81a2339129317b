# amaranth: UnusedElaboratable=no
"""Carry chains, and the multipliers and multiplier-accumulators made of them."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
import re
from typing import Any

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Cat, Const, Cover, Elaboratable, Module, Signal
import pytest

from mantissa.design import Design, Streams
from mantissa.hw.carry import ONE, ZERO, Chain, Term, _gate, _half, both, clear, close_all, inverted, nand, plain
from mantissa.hw.catalog import find
from mantissa.hw.designs_mac import mac, mac_digits, mac_e2m1, mac_e4m3, mac_lut, multiply_lut
from mantissa.hw.mac import Mac
from mantissa.hw.mac_carry_save import MacCarrySave
from mantissa.hw.mac_digits import MacDigits, recode
from mantissa.hw.mac_e2m1 import MacE2M1
from mantissa.hw.mac_e4m3 import MacE4M3
from mantissa.hw.mac_lut import MacLut
from mantissa.hw.mac_packed import MacPacked
from mantissa.hw.multiply_lut import MultiplyLut
from mantissa.hw.multiply_rows import group, split, total
from mantissa.sim_tb import pairs
from mantissa.sim_tb.exhaustive import harness, run_cases
from mantissa.sim_tb.formal import prove
from mantissa.sim_tb.netlist import CARRY, netlist_harness
from mantissa.sim_tb.pairs import exhaust
from mantissa.sim_tb.simulate import check

FOLDER = Path(__file__).parent.parent / "build" / "verify"

ODD = (
    multiply_lut(2, 2, cells=False), multiply_lut(3, 2, cells=False), multiply_lut(2, 9, cells=False),
    multiply_lut(16, 16, cells=False), multiply_lut(9, 12, cells=False, groups=4), multiply_lut(7, 5, cells=False),
    mac_lut(2, 2, cells=False, depth=1), mac_lut(3, 8, cells=False, acc_width=11, wraps=True),
    mac_lut(8, 16, cells=False, groups=5, depth=20),
    mac(2, 3, "booth"), mac(9, 2, "booth", acc_width=12, wraps=True), mac(16, 16, "booth", depth=9), mac(3, 3, "dsp", depth=1),
    mac_e2m1(depth=1, cells=False), mac_e4m3(depth=1, cells=False), mac_digits(3),
)


@pytest.mark.parametrize("design", ODD, ids=lambda design: design.name)
def test_odd_shapes(design: Design) -> None:
    assert check(design, stall="random", most=400) > 4


def _carries(init: int, levels: dict[int, int], pins: tuple[Any, ...]) -> tuple[int, int]:
    """Propagate and generate of a half of a carry cell, as its documentation has them."""
    index = sum((levels[id(pin)] if id(pin) in levels else pin.value) << n for n, pin in enumerate(pins))
    return init >> index & 1, init >> (index & 3) & 1


@pytest.mark.parametrize("shared", [0, 1, 2])
def test_every_bit_of_a_sum(shared: int) -> None:
    """Every two functions of two signals, with none, one or both of them the same: added as they should be, or refused."""
    a, b, c, d = (Signal(name=name) for name in "abcd")
    refused = 0
    for first, second in product(range(16), repeat=2):
        x, y = Term(first, (a, b)), Term(second, ((c, d), (b, c), (b, a))[shared])
        try:
            half = _half(x, y, Signal())
        except ValueError as error:
            assert str(error) == "Bit of a sum must have a term that is zero at zero, or three signals at most"
            assert first & second & 1 and not shared
            refused += 1
            continue
        for levels in product((0, 1), repeat=4):
            point = {id(signal): level for signal, level in zip((a, b, c, d), levels, strict=True)}
            propagate, generate = _carries(half.init, point, half.pins)
            for carry in (0, 1):
                assert (propagate ^ carry) + 2 * (carry if propagate else generate) == x.at(point) + y.at(point) + carry
    assert refused == (0 if shared else 64)


@pytest.mark.parametrize("signals", [1, 2, 3])
def test_every_gate_in_an_empty_half(signals: int) -> None:
    """Its sum is the function, and the carry that comes in, of one value or the other, goes on."""
    pins = tuple(Signal(name=name) for name in "abc"[:signals])
    for table, carry in product(range(1 << (1 << signals)), (0, 1)):
        half = _gate(Term(table, pins), carry, Signal())
        for levels in product((0, 1), repeat=signals):
            point = {id(signal): level for signal, level in zip(pins, levels, strict=True)}
            propagate, generate = _carries(half.init, point, half.pins)
            assert propagate ^ carry == Term(table, pins).at(point)
            assert (carry if propagate else generate) == carry


def test_terms() -> None:
    a, b = Signal(), Signal()
    want = {plain(a): 0b1010, inverted(a): 0b0101, both(a, b): 0b1000, nand(a, b): 0b0111, clear(a, b): 0b0010, ZERO: 0, ONE: 15}
    for term, table in want.items():
        assert [term.at({id(a): n & 1, id(b): n >> 1}) for n in range(4)] == [table >> n & 1 for n in range(4)]


class _Twins(Elaboratable):
    """A product and its accumulation in carry cells, and described: the same for every input."""

    def __init__(self, a_width: int, b_width: int, groups: int, tied: bool) -> None:
        self.a_width = a_width
        self.b_width = b_width
        self.groups = groups
        self.tied = tied

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, b = Signal(self.a_width), Signal(self.b_width)
        acc, first, carry = Signal(self.a_width + self.b_width + 2), Signal(), Signal()
        m.d.comb += [a.eq(AnySeq(len(a))), b.eq(AnySeq(len(b))), acc.eq(AnySeq(len(acc))), first.eq(AnySeq(1)), carry.eq(AnySeq(1))]
        results = []
        for cells in (True, False):
            chains = [Chain(m, f"{cells}_{n}", cells=cells, tied=self.tied) for n in range(self.groups)]
            rows = split(self.b_width, self.groups)
            sums = [(part[0], group(chain, list(a), list(b), part)) for part, chain in zip(rows, chains, strict=True)]
            found = total(chains[-1], sums)
            after = chains[-1].add([clear(bit, first) for bit in acc], found, len(acc))
            other = Chain(m, f"{cells}_other", cells=cells)
            results.append(Cat(after, *(term.value for term in found), *other.add([both(a[0], b[0])], [inverted(acc[0])], 4, carry=carry),
                               close_all(chains, Term(0b11010010, (first, carry, acc[-1])))))
            other.close()
        m.d.comb += [Assert(results[0] == results[1]), Cover(results[0][1] & first)]
        return m


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("a_width", "b_width", "groups"), [(4, 4, 1), (8, 2, 1), (8, 4, 1), (5, 6, 2)])
def test_cells_equal_their_description(a_width: int, b_width: int, groups: int, tied: bool) -> None:
    proof = prove(_Twins(a_width, b_width, groups, tied), name=f"twins_{a_width}x{b_width}x{groups}" + "_tied" * tied, depth=1,
                  cover_depth=2, ports=(), library=[CARRY], folder=FOLDER)
    assert proof.assertions == 1 and proof.covers == 1


@pytest.mark.parametrize(("name", "width"), [
    ("mac_8x8_acc24_lut", 8), ("mac_4x4_acc16_lut", 4), ("mac_8x8_acc24_booth", 8), ("mac_8x8_acc24_opt1", 8),
    ("mac_8x8_acc24_opt4c_x8", 8), ("mac_e4m3_acc45_lut", 8), ("mac_e2m1_acc17_lut", 4), ("mac_posit8_0_acc34_exact_lut", 8),
    ("mac_posit8_0_acc34_exact_dsp", 8), ("mac_e5m2_acc73_exact_lut", 8), ("dot_e2m1_x4_lut", 4), ("block_mxfp4_x8_lut", 4),
    ("mac_8xpot4x2_acc24_shift", 8)])
def test_every_operand_pair(name: str, width: int) -> None:
    assert exhaust(find(name), folder=FOLDER) == {"": 1 << 2 * width}


def test_every_element_meets_all_pairs() -> None:
    design, streams = find("array_os_2x3_w4a8_acc15"), []
    exhaust(replace(design, golden=lambda given: streams.append(given["i"]) or design.golden(given)), folder=FOLDER)
    assert (streams[0]["a"].shape, streams[0]["b"].shape) == ((4096, 2), (4096, 3))
    for row in range(2):
        for column in range(3):
            assert len(set(zip(streams[0]["a"][:, row].tolist(), streams[0]["b"][:, column].tolist(), strict=True))) == 4096


def test_pairs_that_differ(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(streams: Streams) -> Streams:
        answer = design.golden(streams)
        answer["o"]["sum"][100] += 1
        return answer
    design, report = find("mac_4x4_acc16_lut"), tmp_path / "pairs.md"
    assert pairs.main([design.name, "-o", str(FOLDER), "--report", str(report)]) == 0
    assert "| mac_4x4_acc16_lut | 256 | all |" in report.read_text()
    monkeypatch.setattr(pairs, "find", lambda name: replace(design, golden=wrong))
    assert pairs.main([design.name, "-o", str(FOLDER), "--report", str(report)]) == 1
    assert "mac_4x4_acc16_lut: transaction 100 of o has" in report.read_text()


def test_pairs_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert pairs.main(["skid"]) == 1
    message = "mantissa.sim_tb.pairs: Design must have operands a and b, or a and w, of at most 8 bits, unlike skid\n"
    assert capsys.readouterr().err == message
    assert pairs.main(["mac_4x4_acc16_lut", "--drawn", "0"]) == 1
    assert capsys.readouterr().err == "mantissa.sim_tb.pairs: Drawn pairs must be at least 1, not 0\n"


@pytest.mark.parametrize("name", ["multiply_8x8_lut", "multiply_8x4_lut", "multiply_4x4_lut"])
def test_every_product(name: str) -> None:
    """In the Verilog and after synthesis."""
    design = find(name)
    bits = design.params["a_width"] + design.params["b_width"]              # pyright: ignore[reportOperatorIssue]
    for model in (harness(design, folder=FOLDER, optimize=0), netlist_harness(design, folder=FOLDER)):
        cases = run_cases(design, model, least=1 << bits)
        assert cases.exhaustive and cases.count == 1 << bits


def test_recoded_digits() -> None:
    from amaranth.sim import Simulator
    a, there, twice, minus = Signal(8), Signal(4), Signal(4), Signal(4)
    m = Module()
    m.d.comb += [word.eq(found) for word, found in zip((there, twice, minus), recode(m, a), strict=True)]
    counts = []

    async def bench(ctx) -> None:
        for value in range(-128, 128):
            ctx.set(a, value)
            digits = [(ctx.get(there) >> n & 1) * (1 + (ctx.get(twice) >> n & 1)) * (-1) ** (ctx.get(minus) >> n & 1) for n in range(4)]
            assert sum(digit << 2 * n for n, digit in enumerate(digits)) == value
            counts.append(sum(digit != 0 for digit in digits))
    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()
    assert round(sum(counts) / 256, 3) == 2.918             # published for uniform numbers


REFUSED: tuple[tuple[Callable[[], object], type[Exception], str], ...] = (
    (lambda: MultiplyLut(1, 8), ValueError, "Width of a must be an integer between 2 and 16, not 1"),
    (lambda: MultiplyLut(8, 17), ValueError, "Width of b must be an integer between 2 and 16, not 17"),
    (lambda: MultiplyLut(8, 8, groups=3), ValueError, "Groups must be an integer between 1 and 2 for 8 rows, not 3"),
    (lambda: MultiplyLut(8, 4, groups=True), TypeError, "Groups must be an integer between 1 and 1 for 4 rows, not True"),
    (lambda: MacLut(8, 8, depth=0), ValueError, "Depth must be a positive integer, not 0"),
    (lambda: MacLut(8, 4, acc_width=11), ValueError, "Accumulator width must be at least 12, the product's, not 11"),
    (lambda: MacLut(8, 4, acc_width="20"), TypeError,                                            # pyright: ignore[reportArgumentType]
     "Accumulator width must be a positive integer, not '20'"),
    (lambda: Mac(8, 8, "wallace"), ValueError, "Structure must be one of booth, plain, dsp, not 'wallace'"),
    (lambda: Mac(8, 0, "dsp"), ValueError, "Width of b must be an integer between 2 and 16, not 0"),
    (lambda: MacCarrySave(acc_width=15), ValueError, "Accumulator width must be at least 16, the product's, not 15"),
    (lambda: MacDigits(0), ValueError, "Lanes must be a positive integer, not 0"),
    (lambda: MacPacked(acc_width=11), ValueError, "Accumulator width must be at least 12, the product's, not 11"),
    (lambda: MacLut(8, 4, acc_width=11, wraps=True), ValueError, "Accumulator width must be at least 12, the product's, not 11"),
    (lambda: MacLut(8, 8, acc_width=16), ValueError,
     "Accumulator width must be at least 24 for 256 products of 8 by 8 bits, not 16, unless wraps=True"),
    (lambda: Mac(8, 8, "booth", depth=1000000, acc_width=16), ValueError,
     "Accumulator width must be at least 35 for 1000000 products of 8 by 8 bits, not 16, unless wraps=True"),
    (lambda: MacDigits(8, acc_width=23), ValueError,
     "Accumulator width must be at least 24 for 256 products of 8 by 8 bits, not 23, unless wraps=True"),
    (lambda: MacPacked(depth=4096, acc_width=12), ValueError,
     "Accumulator width must be at least 24 for 4096 products of 8 by 4 bits, not 12, unless wraps=True"),
    (lambda: MacCarrySave(depth=4096, acc_width=16), ValueError,
     "Accumulator width must be at least 28 for 4096 products of 8 by 8 bits, not 16, unless wraps=True"),
    (lambda: MacLut(8, 8, wraps=1), TypeError, "Wraps must be True or False, not 1"),    # pyright: ignore[reportArgumentType]
    (lambda: mac_lut(8, 8, acc_width=20), ValueError,
     "Accumulator width must be at least 24 for 256 products of 8 by 8 bits, not 20, unless wraps=True"),
    (lambda: MacE2M1(depth=0), ValueError, "Depth must be a positive integer, not 0"),
    (lambda: MacE4M3(depth=-1), ValueError, "Depth must be a positive integer, not -1"),
    (lambda: Chain(Module(), "c", cells=True).add([ONE] * 3, [], 2), ValueError, "Operands must have at most 2 bits, not 3"),
)


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_refused(make: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        make()


def test_adder_that_may_leave_a_carry_is_the_last() -> None:
    chain = Chain(Module(), "c", cells=False)
    chain.add([plain(Const(1, 1))], [ONE], 1)
    with pytest.raises(ValueError, match=r"^Sum of an adder that another follows must fit, and this one may leave a carry$"):
        chain.add([ONE], [], 1)
