# amaranth: UnusedElaboratable=no
"""Ternary lookups in block RAM: tables, layers, counters of phases, choice of a structure, and what is refused."""
from __future__ import annotations

from pathlib import Path

from amaranth.hdl import Module
from amaranth.sim import Simulator
import numpy as np
import pytest

from mantissa.errors import MantissaError
from mantissa.fpga.ternary_choice import ROWS, cheapest, cross_over
from mantissa.hw.designs_tlmm import pack_planes, pack_signs, ternary_engine, ternary_workload, tlmm_build
from mantissa.hw.payload import pack
from mantissa.hw.ternary_engine import PHASES, TernaryEngine
from mantissa.hw.tlmm_build import CODES, OFFSET, TableBuild, address, walk
from mantissa.hw.tlmm_ram import TlmmByteRam
from mantissa.sim_tb.exhaustive import compare, harness
from mantissa.ternary import pack_radix3, pack_tq1_0, table
from mantissa.ternary_product import TernaryWeights
from mantissa.ternary_tiles import untile

FOLDER = Path(__file__).parent.parent / "build" / "verify"


def written(code: str, x: np.ndarray) -> dict[int, int]:
    """What a table has after a build's writes, as the golden function gives them."""
    o = tlmm_build(1, code=code).golden({"i": {"x": x[:, None]}})["o"]
    return {int(byte): int(total) for byte, (total,) in zip(o["byte"], o["sums"], strict=True)}


@pytest.mark.parametrize("x", [[-128] * 5, [127, -128, 127, -128, 127], [3, 50, -7, 1, 100]])
def test_tables_of_trits(x: list[int]) -> None:
    entries, right = written("radix3", np.array(x)), table(np.array(x))[0]
    assert [entries[byte] for byte in range(243)] == right.tolist()
    entries = written("tq1_0", np.array(x))
    assert [entries[address(index, "tq1_0")] for index in range(243)] == right.tolist()


@pytest.mark.parametrize("x", [[-128] * 8, [1, 2, 4, 8, 16, 32, 64, -128]])
def test_tables_of_bits(x: list[int]) -> None:
    entries = written("bits", np.array(x))
    assert entries == {byte: sum(value for k, value in enumerate(x) if byte >> k & 1) for byte in range(256)}


@pytest.mark.parametrize("x", [[-128] * 5, [127, -128, 127, -128, 127], [3, 50, -7, 1, 100]])
def test_half_tables_of_trits(x: list[int]) -> None:
    entries, right = written("radix3_half", np.array(x)), table(np.array(x))[0]
    bytes_ = [address(index, "radix3_half") for index in range(243)]
    assert len(set(bytes_)) == 243
    assert {byte & 127 for byte in bytes_} | {CODES["radix3_half"].nothing} == set(entries)
    assert [(entries[byte & 127] - OFFSET) * (-1 if byte >> 7 else 1) for byte in bytes_] == right.tolist()


@pytest.mark.parametrize("x", [[-128] * 8, [-128] * 7 + [127], [1, 2, 4, 8, 16, 32, 64, -128]])
def test_half_tables_of_signs(x: list[int]) -> None:
    entries = written("signs_half", np.array(x))
    bytes_ = [address(plane, "signs_half") for plane in range(256)]
    assert sorted(bytes_) == list(range(256))
    assert len(entries) == 128
    assert [(entries[byte & 127] - OFFSET) * (-1 if byte >> 7 else 1) for byte in bytes_] == [
        sum(value if plane >> k & 1 else -value for k, value in enumerate(x)) for plane in range(256)]


def test_addresses_are_the_files() -> None:
    trits = np.random.default_rng(0).integers(-1, 2, (1, 256)).astype(np.int8)
    strided = trits[0, :160].reshape(5, 32).T                # TQ1_0 has the weights of a byte 32 apart
    assert [address(int(index), "tq1_0") for index in pack_radix3(strided).ravel()] == pack_tq1_0(trits)[0, 0, :32].tolist()


@pytest.mark.parametrize("code", CODES)
def test_walk_comes_back_to_nothing(code: str) -> None:
    steps = walk(code)
    assert len(steps) == (128 if code == "radix3_half" else 256)
    if steps[0].clear:
        return
    total = np.zeros(9, np.int64)
    for step in steps:
        total[step.element] += -1 if step.minus else 1
    assert not total[:CODES[code].group].any()


@pytest.mark.parametrize(("shape", "tokens"), [((300, 200), 1), ((256, 95), 8)])
def test_layer_and_its_cycles(shape: tuple[int, int], tokens: int) -> None:
    """Against the product by BLAS; nothing but the first tables, and 20 cycles a tile, keeps the port from giving a word a cycle."""
    design = ternary_engine(4, tokens=tokens, lanes=4, rows=512, tiles=16)
    streams = ternary_workload(design, [shape])
    words = np.array([list(int(word).to_bytes(4, "little")) for word in streams["i"]["data"]], np.uint8).reshape(-1, shape[0], 4)
    product = TernaryWeights(untile(words, shape[1]))(streams["i_x"]["x"][:shape[1]].T).T
    golden = design.golden(streams)
    assert (golden["o"]["sums"] == product).all()
    model = harness(design, folder=FOLDER, optimize=0)
    want = {port: pack(layout, golden[port]) for port, layout in model.outputs.items()}
    run = model.run({port: pack(layout, streams[port]) for port, layout in model.inputs.items()},
                    {port: len(rows) for port, rows in want.items()}, want=want)
    assert run.cycles <= len(streams["i"]["data"]) + 20 + 256 + 20 * (len(words) + 2)


def test_half_tables_take_half_the_cycles() -> None:
    """As many lanes as full tables would want for twice the rows."""
    design = ternary_engine(4, lanes=2, rows=512, tiles=16, code="radix3_half")
    streams = ternary_workload(design, [(256, 200)])
    model = harness(design, folder=FOLDER, optimize=0)
    golden = design.golden(streams)
    want = {port: pack(layout, golden[port]) for port, layout in model.outputs.items()}
    run = model.run({port: pack(layout, streams[port]) for port, layout in model.inputs.items()},
                    {port: len(rows) for port, rows in want.items()}, want=want)
    assert run.cycles <= len(streams["i"]["data"]) + 20 + 256 + 20 * (10 + 2)


@pytest.mark.parametrize(("code", "planes"), [("bits", 1), ("bits", 3), ("signs_half", 1), ("signs_half", 4)])
def test_planes_with_stalls(code: str, planes: int) -> None:
    """Numbers of planes that the catalogue does not have; the first stimulus without stalls, others with."""
    design = ternary_engine(1, code=code, planes=planes, cells=False, rows=32, tiles=16, length_bits=2)
    model = harness(design, folder=FOLDER, optimize=0)
    for seed, stall in enumerate(("none", "random", "random", "bursty")):
        streams = design.stimulus(np.random.default_rng(seed))
        golden = design.golden(streams)
        compare(model, {port: pack(layout, streams[port]) for port, layout in model.inputs.items()},
                {port: pack(layout, golden[port]) for port, layout in model.outputs.items()}, streams, stall=stall, seed=seed)


@pytest.mark.parametrize(("code", "planes"), [("radix3_half", 1), ("signs_half", 1), ("signs_half", 3), ("signs_half", 4), ("bits", 1),
                                              ("bits", 3)])
def test_tables_multiply(code: str, planes: int) -> None:
    """Golden sums against a product of the weights that were packed here."""
    design = ternary_engine(2, code=code, planes=planes, tiles=16, acc_bits=20)
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, 10 if code == "radix3_half" else 16)
    if code == "radix3_half":
        weights = rng.integers(-1, 2, (40, 10))
        index = (weights.reshape(40, 2, 5) + 1) @ 3 ** np.arange(5)
        packed = np.vectorize(lambda n: address(int(n), code))(index)
    elif code == "bits":
        weights = rng.integers(-1 << planes - 1, 1 << planes - 1, (40, 16))
        packed = pack_planes(weights, planes, 2).reshape(-1, 2)
    else:
        weights = 2 * rng.integers(0, 1 << planes, (40, 16)) + 1 - (1 << planes)
        packed = pack_signs(weights, planes, 2).reshape(-1, 2)
    words = np.array([int(low) | int(high) << 8 for low, high in packed])
    streams = {"i_command": {"address": np.zeros(1, np.int64), "last_row": np.array([39]), "last_tile": np.zeros(1, np.int64)},
               "i_x": {"x": x[:, None]}, "i": {"data": words, "last": 0 * words, "error": 0 * words}}
    assert design.golden(streams)["o"]["sums"].ravel().tolist() == (weights @ x).tolist()


def test_odd_numbers_of_integers() -> None:
    integers = np.arange(-8, 8).reshape(2, 8)
    packed = pack_signs(2 * integers + 1, 4, 1)[0, :, 0]
    planes = pack_planes(integers, 4, 1)[0, :, 0] ^ np.tile([255, 0, 0, 0], 2)
    assert packed.tolist() == [address(int(plane), "signs_half") for plane in planes]


def test_planes_are_the_weights() -> None:
    weights = np.arange(-8, 8).reshape(2, 8)
    packed = pack_planes(weights, 4, 1)
    assert packed.shape == (1, 8, 1)
    assert packed[0, :, 0].tolist() == [0xff, 0xf0, 0xcc, 0xaa, 0, 0xf0, 0xcc, 0xaa]
    rows = np.unpackbits(packed[0, :, 0], bitorder="little").reshape(2, 4, 8)
    assert (np.einsum("rpk,p->rk", rows.astype(np.int64), [-8, 4, 2, 1]) == weights).all()


def test_phases_add_up() -> None:
    """Four rows of one tile whose words come late and whose sums are taken late."""
    dut = TernaryEngine(tables=1, rows=32, tiles=2, length_bits=2, counters=16, cells=False)
    seen: dict[str, int] = {}

    async def bench(ctx) -> None:
        ctx.set(dut.i_command.p.last_row, 3)
        for port in (dut.i_command, dut.i_x, dut.o_read):
            ctx.set(port.ready if port is dut.o_read else port.valid, 1)
        await ctx.tick()
        ctx.set(dut.i_command.valid, 0)
        await ctx.tick().until(dut.i.ready)                   # one cycle of waiting
        await ctx.tick().repeat(6)                           # and six
        ctx.set(dut.i.valid, 1)
        await ctx.tick().repeat(4)
        ctx.set(dut.i.valid, 0)
        await ctx.tick().until(dut.o.valid)                   # one cycle of writing
        await ctx.tick().repeat(9)
        ctx.set(dut.o.ready, 1)
        await ctx.tick().repeat(20)
        seen.update({name: ctx.get(dut.phases[name]) for name in PHASES})

    top = Module()
    top.submodules.dut = dut
    sim = Simulator(top)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert seen["looking"] == 4
    assert seen["waiting"] == 7
    assert seen["writing"] == 10
    assert 256 < seen["building"] < 300


@pytest.mark.parametrize(("make", "message"), [
    (lambda: TableBuild(3), "Tables must be a power of two of at most 64, not 3"),
    (lambda: TableBuild(2, lanes=4), "Lanes of a table build must be a power of two of at most 2, not 4"),
    (lambda: TableBuild(2, code="tl2"), "Code of a table must be one of radix3, tq1_0, bits, radix3_half, signs_half, not 'tl2'"),
    (lambda: TlmmByteRam(2, ports=3), "Ports of a table must be 1 or 2, not 3"),
    (lambda: TlmmByteRam(2, tag=-1), "Tag must be an integer of at least 0, not -1"),
    (lambda: TlmmByteRam(2, spare=3), "Spare address bits of a table must be 0, 1 or 2, not 3"),
    (lambda: TernaryEngine(spare=-1), "Spare address bits of a table must be 0, 1 or 2, not -1"),
    (lambda: TlmmByteRam(2, cells=1), "Cells must be True or False, not 1"),
    (lambda: TernaryEngine(planes=2, code="radix3_half"), "Planes must be 1 to 4 of bits and 1 of trits, not 2"),
    (lambda: TernaryEngine(planes=5, code="signs_half"), "Planes must be 1 to 4 of bits and 1 of trits, not 5"),
    (lambda: TernaryEngine(acc_bits=16, planes=3, code="signs_half"), "Bits of a sum must be an integer of at least 17, not 16"),
    (lambda: TernaryEngine(tables=32), "Tables of an engine must be one of 1, 2, 4, 8, 16, not 32"),
    (lambda: TernaryEngine(planes=2), "Planes must be 1 to 4 of bits and 1 of trits, not 2"),
    (lambda: TernaryEngine(rows=16), "Rows must be more than the 16 words of a burst, not 16"),
    (lambda: TernaryEngine(rows=100), "Rows must be a power of two of at most 1048576, not 100"),
    (lambda: TernaryEngine(acc_bits=12), "Bits of a sum must be an integer of at least 14, not 12"),
    (lambda: TernaryEngine(acc_bits=21), "Bits of a sum must be at least 22 for 256 tiles of 40 activations, not 21, unless wraps=True"),
    (lambda: TernaryEngine(code="bits", planes=4), "Bits of a sum must be at least 26 for 256 tiles of 64 activations, not 24, unless "
     "wraps=True"),
    (lambda: TernaryEngine(code="signs_half", planes=2, tiles=16, acc_bits=19),
     "Bits of a sum must be at least 20 for 16 tiles of 64 activations, not 19, unless wraps=True"),
    (lambda: TernaryEngine(wraps=1), "Wraps must be True or False, not 1"),             # pyright: ignore[reportArgumentType]
    (lambda: cheapest("ecp5", 0, 10), "Rows must be a positive integer, not 0"),
    (lambda: cheapest("ecp6", 10, 10), "Family must be one of ecp5, gowin, ice40, nexus, not 'ecp6'"),
    (lambda: cheapest("ecp5", 10, 10, structure="tables"), "Structure must be one of dot, lut_ram, byte_ram, byte_half, not 'tables'"),
    (lambda: cheapest("ice40", 10, 10, structure="lut_ram"), "Structure lut_ram must be on a family with LUT-RAM, not on ice40"),
])
def test_refused(make, message: str) -> None:
    with pytest.raises((ValueError, TypeError, MantissaError)) as caught:
        make()
    assert str(caught.value) == message


def test_choice() -> None:
    assert cheapest("ecp5", 2560, 2560).structure == "byte_half"
    assert cheapest("gowin", 2560, 2560).structure == "byte_ram"
    assert cheapest("gowin", 128, 2560).structure == "byte_half"
    assert cheapest("ecp5", 2560, 2560, block_ram=False).structure == "lut_ram"
    assert cheapest("ecp5", 8, 2560).structure == "dot"
    assert cheapest("ice40", 8, 2560).structure == "dot"
    assert cheapest("ice40", 2560, 2560, block_ram=False).structure == "dot"
    assert cheapest("ecp5", 8, 2560, structure="byte_ram").structure == "byte_ram"
    points = cross_over("ecp5")
    assert points == sorted(points)
    for rows in (point for point, _ in points[1:]):
        assert cheapest("ecp5", rows - 1, 2560).structure != cheapest("ecp5", rows, 2560).structure
    exact, biased = (cross_over("ecp5", block_ram=False, exact=exact)[1] for exact in (True, False))
    assert exact[1] == biased[1] == "lut_ram"
    assert biased[0] < exact[0]


def test_cost_of_a_choice() -> None:
    """Against the rows, taken one by one."""
    rows = ROWS["ecp5"]
    choice = cheapest("ecp5", 2560, 2560, structure="byte_ram")
    assert (choice.tables, choice.lanes, choice.columns) == (16, 2, 1)
    assert choice.per_mac == pytest.approx(rows["byte_ram"].per_mac + rows["byte_ram"].builder[2] / 80)
    half = cheapest("ecp5", 2560, 2560)
    assert (half.tables, half.lanes, half.columns) == (16, 1, 1)
    assert half.per_mac == pytest.approx(rows["byte_half"].per_mac + rows["byte_half"].builder[1] / 80)
    few = cheapest("ecp5", 64, 2560, structure="byte_ram")
    assert few.lanes == few.tables == 16
    assert few.per_mac == pytest.approx(4 * (rows["byte_ram"].per_mac + rows["byte_ram"].builder[16] / 80))
    wide = cheapest("ecp5", 256, 2560, 512, structure="byte_ram")
    assert wide.lanes == wide.tables == 64
    assert wide.per_mac == pytest.approx(rows["byte_ram"].per_mac + 4 * rows["byte_ram"].builder[16] / 320)
    assert cheapest("ecp5", 2560, 11, structure="byte_ram").tables == 4
    shared = cheapest("ecp5", 4096, 4096, 120, block_ram=False, exact=False)
    assert (shared.tables, shared.lanes, shared.columns) == (2, 2, 12)
    assert shared.per_mac == pytest.approx((6 + 66 / 72) * (1 + 18 * 12 / 4096))
    assert cheapest("ecp5", 10, 2560, 16).tables == 8
