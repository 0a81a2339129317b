# amaranth: UnusedElaboratable=no
"""Stream plumbing: what its units refuse, and how raw payloads are made. What they do is proved in test_formal."""
import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import signed
from amaranth.lib import data

from mantissa.errors import MantissaError
from mantissa.hw.catalog import CATALOG, GROUPS, find
from mantissa.hw.merge import Arbiter, Route
from mantissa.hw.payload import integers, leaves, pack, unpack, words_of
from mantissa.hw.stream import Broadcast, Join, Queue, Skid
from mantissa.hw.width import Deserialize, Serialize
from mantissa.sim_tb.simulate import check, simulate

BYTE = data.StructLayout({"data": 8})
MIXED = data.StructLayout({"a": data.ArrayLayout(signed(5), 3), "wide": 70, "m": data.ArrayLayout(data.ArrayLayout(9, 2), 2),
                           "s": signed(33)})


@pytest.mark.parametrize("make, message", [
    (lambda: Skid(8), r"^Payload must be a StructLayout, not 8$"),
    (lambda: Queue(8, depth=2), r"^Payload must be a StructLayout, not 8$"),
    (lambda: Queue(BYTE, depth="2"), r"^Queue depth must be an integer of at least 1, not '2'$"),
    (lambda: Queue(BYTE, depth=True), r"^Queue depth must be an integer of at least 1, not True$"),
    (lambda: Queue(BYTE, depth=2, memory=1), r"^Queue memory must be True or False, not 1$"),
    (lambda: Join({}), r"^Join payloads must be a dict of at least one StructLayout, not \{\}$"),
    (lambda: Join({"a": 8}), r"^Payload must be a StructLayout, not 8$"),
])
def test_wrong_kind(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize("make, message", [
    (lambda: Queue(BYTE, depth=0), r"^Queue depth must be an integer of at least 1, not 0$"),
    (lambda: Broadcast(BYTE, n=0), r"^Broadcast n must be an integer of at least 1, not 0$"),
    (lambda: Arbiter(BYTE, n=1), r"^Arbiter n must be an integer of at least 2, not 1$"),
    (lambda: Route(BYTE, n=-1), r"^Route n must be an integer of at least 2, not -1$"),
    (lambda: Arbiter(data.StructLayout({"source": 1}), n=2), r"^Payload must have no field 'source' of its own$"),
    (lambda: Join({"a": BYTE, "b": BYTE}), r"^Join fields must differ between inputs, not 'data' twice$"),
    (lambda: Serialize(8, n=0), r"^Serialize n must be an integer of at least 1, not 0$"),
    (lambda: Deserialize(8, n=0), r"^Deserialize n must be an integer of at least 1, not 0$"),
])
def test_wrong_amount(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def rows(n=50):
    rng = np.random.default_rng(0)
    wide = np.array([int.from_bytes(rng.bytes(9), "little") & ((1 << 70) - 1) for _ in range(n)], object)
    return {"a": rng.integers(-16, 16, (n, 3)), "wide": wide, "m": rng.integers(0, 512, (n, 2, 2)), "s": rng.integers(-1 << 32, 1 << 32, n)}


def test_pack_is_amaranths():
    sent = rows()
    for n, raw in enumerate(integers(pack(MIXED, sent))):
        assert raw == MIXED.const({name: column[n].tolist() if n >= 0 and hasattr(column[n], "tolist") else column[n]
                                   for name, column in sent.items()}).as_value().value


def test_unpack_returns():
    sent = rows()
    back = unpack(MIXED, pack(MIXED, sent))
    assert list(back) == ["a", "wide", "m", "s"]
    for name, column in sent.items():
        np.testing.assert_array_equal(back[name], column)
    assert words_of(MIXED) == 5
    assert len(leaves(MIXED)) == 3 + 1 + 4 + 1


@pytest.mark.parametrize("sent, message", [
    ({"data": [256]}, r"^Field data must be between 0 and 255, not 256$"),
    ({"data": [0, -1]}, r"^Field data must be between 0 and 255, not -1$"),
    ({"date": [1]}, r"^Transactions must have fields data, not date$"),
    ({"data": [[1, 2]]}, r"^Field data must have 0 dimensions a transaction, not 1$"),
])
def test_pack_refuses(sent, message):
    with pytest.raises(ValueError, match=message):
        pack(BYTE, {name: np.array(column) for name, column in sent.items()})


def test_nested_structures_refused():
    with pytest.raises(TypeError, match=r"^Payload field must be a scalar or an array of scalars, not StructLayout"):
        leaves(data.StructLayout({"a": BYTE}))


def test_throughput():
    """Two transactions in a queue are enough for one transfer per cycle, three when its read is registered; one is not."""
    for queue, full in ((Queue(BYTE, depth=2), True), (Queue(BYTE, depth=3, memory=True), True), (Queue(BYTE, depth=1), False)):
        sent = list(range(100))
        cycles = [0]
        got = simulate(queue, {"i": sent}, {"o": 100}, cycles=cycles)
        assert got == {"o": sent}
        assert (cycles[0] <= 104) == full


def test_catalogue():
    assert sum(map(len, GROUPS.values())) == len(CATALOG) == len({design.name for design in CATALOG})
    assert find("skid").name == "skid"


@pytest.mark.parametrize("name, message", [
    ("skidd", r"^Design must be one of the catalogue's, not 'skidd' \(skid comes near\)$"),
    ("queue_d6", r"^Design must be one of the catalogue's, not 'queue_d6' \(queue_d16, queue_d5, queue_d1 come near\)$"),
    ("zzz", rf"^Design must be one of the catalogue's, not 'zzz' \(the catalogue has {len(CATALOG)}\)$"),
])
def test_near_misses(name, message):
    with pytest.raises(MantissaError, match=message):
        find(name)


def test_simulation_finds_what_is_wrong():
    from dataclasses import replace

    def off_by_one(streams):
        wrong = np.array(streams["i"]["data"])
        wrong[7] ^= 1
        return {"o": {**streams["i"], "data": wrong}}
    with pytest.raises(AssertionError, match=r"^skid: transaction 7 of o is 0x\w+, golden says 0x\w+$"):
        check(replace(find("skid"), golden=off_by_one), stall="random")
    with pytest.raises(AssertionError, match=r"^skid: o has 600 transactions, golden says 599$"):
        check(replace(find("skid"), golden=lambda s: {"o": {k: v[:-1] for k, v in s["i"].items()}}), stall="none")
    with pytest.raises(AssertionError, match=r"^skid: the golden function gave no transactions to compare$"):
        check(replace(find("skid"), stimulus=lambda rng: {"i": {"data": np.zeros(0, int), "tag": np.zeros(0, int)}}), stall="none")
    with pytest.raises(ValueError, match=r"^Stall must be one of none, random, bursty, not 'often'$"):
        check(find("skid"), stall="often")
