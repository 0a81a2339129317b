"""A stop-and-wait host on a damaging channel, and the Verilated link with a memory at its other end."""
from __future__ import annotations

from collections import Counter
import ctypes
from pathlib import Path
from random import Random
import tempfile

from amaranth.back import verilog

from ..frame import Deframer, Frame, Status, Type, encode_frame
from ..hw.link import COUNTERS, Link
from ..registers import State
from .link_channel import Channel
from .verilator import FLAGS, OPTIONS, _call, _compiler, _digest, _runtime, root

__all__ = ["Host", "Model"]

PAYLOAD, IDLE, QUIET, SIZE, TRIES = 64, 64, 700, 256, 300
CAPABILITY = bytes(range(1, 33)) + bytes(32)
SOURCE = Path(__file__).with_name("link_model.cpp")


def _library(folder: Path) -> Path:
    text = verilog.convert(Link(capability=CAPABILITY, payload=PAYLOAD, idle_cycles=IDLE, counter_bits=32), name="link")
    source = SOURCE.read_text()
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"link-{_digest(text, source)}.so"
    if library.exists():
        return library
    runtime, include = _runtime(folder), root() / "include"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        where = Path(scratch)
        (where / "link.v").write_text(text)
        _call([root() / "bin" / "verilator_bin", *OPTIONS, "--top-module", "link", "--Mdir", ".", "link.v"], where)
        (where / "all.cc").write_text("".join(f'#include "{path.name}"\n' for path in sorted(where.glob("*.cpp"))) + source)
        _call([_compiler(), *FLAGS, "-O1", "-I.", f"-I{include}", f"-I{include / 'vltstd'}", "-shared", "-pthread", "all.cc",
               str(runtime.resolve()), "-o", "all.so"], where)
        (where / "all.so").replace(library)
    return library


class Model:
    """The Verilated link and its memory; a pause in what is sent is an integer above 255."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._library = library = ctypes.CDLL(str(_library(folder).resolve()))
        library.link_new.restype = library.link_memory.restype = ctypes.c_void_p
        library.link_count.restype, library.link_exchange.restype = ctypes.c_uint64, ctypes.c_int64
        self._handle = ctypes.c_void_p(library.link_new(ctypes.c_uint64(seed)))
        self._memory = (ctypes.c_uint8 * SIZE).from_address(library.link_memory(self._handle))
        self._buffer = ctypes.create_string_buffer(1 << 16)

    def exchange(self, sent: list[int]) -> bytes | None:
        """What the link answers; :data:`None` if it hangs."""
        entries = (ctypes.c_uint32 * len(sent))(*sent)
        got = self._library.link_exchange(self._handle, entries, ctypes.c_uint64(len(sent)), ctypes.c_uint64(QUIET), self._buffer,
                                          ctypes.c_uint64(len(self._buffer)))
        return None if got < 0 else self._buffer.raw[:got]

    def set_state(self, state: int) -> None:
        """Value of the STATUS register."""
        self._library.link_state(self._handle, ctypes.c_uint32(state))

    @property
    def memory(self) -> bytes:
        """Content of the memory."""
        return bytes(self._memory)

    def count(self, what: str) -> int:
        """Cycles, bus requests, violations of the streams' rules, requests not answered, or one of the link's counters."""
        which = ("cycles", "requests", "unstable", "unanswered", *COUNTERS).index(what)
        return int(self._library.link_count(self._handle, which))

    def close(self) -> None:
        """Free the model."""
        self._library.link_free(self._handle)


class Host:
    """Random operations with retries; keeps what the memory must hold.

    Parameters
    ----------
    rng
        Where chance comes from.
    folder
        Where the compiled model is kept.
    damage
        Probability that a frame is damaged, each way.
    """

    def __init__(self, rng: Random, *, folder: Path, damage: float) -> None:
        self.rng = rng
        self.device = Model(rng.getrandbits(63), folder)
        self.to_device, self.to_host = Channel(rng, damage=damage, pause=IDLE), Channel(rng, damage=damage)
        self.counts: Counter[str] = Counter()
        self.memory = bytearray(SIZE)
        self._deframer = Deframer()
        self._nonce = self._sequence = 0
        self._problems: list[str] = []
        self._connected = False

    def operate(self) -> list[str]:
        """One operation; violations as sentences."""
        self._problems = []
        if not self._connected or self.rng.random() < 0.03:
            self._connect()
        else:
            self.rng.choice((self._read, self._read, self._write, self._write, self._wait, self._refused))()
        if self.device.memory != self.memory:
            self._problem("the memory is not what was written")
            self.memory[:] = self.device.memory
        if self.device.count("unstable"):
            self._problem("a stream dropped or changed what it offered")
        return self._problems

    def finish(self) -> list[str]:
        """A session on a sound line; violations as sentences."""
        self._problems = []
        self.to_device.damage = self.to_host.damage = 0.0
        self._connect()
        for start in range(0, SIZE, PAYLOAD):
            self._read(start, PAYLOAD)
        if self.device.count("unanswered"):
            self._problem("the bus owes responses")
        self.counts.update({f"device: {name}": self.device.count(name) for name in (*COUNTERS, "cycles", "requests")})
        self.counts["host: pieces dropped"] = self._deframer.dropped
        self.device.close()
        return self._problems

    def _problem(self, what: str) -> None:
        self._problems.append(f"rtl: session {self._nonce:#010x}, request {self._sequence}: {what}")

    def _connect(self) -> None:
        self._nonce, self._sequence = self.rng.getrandbits(32), 0
        reply = self._ask(Type.HELLO, b"", remember=False)
        self._connected = reply is not None
        if reply is not None and (reply.status, reply.payload) != (Status.OK, CAPABILITY):
            self._problem(f"HELLO is answered with {reply}")

    def _ask(self, type_: int, payload: bytes, *, remember: bool = True) -> Frame | None:
        """The reply, however often one has to ask."""
        coded = encode_frame(Frame(type=type_, nonce=self._nonce, sequence=self._sequence, payload=payload))
        for attempt in range(TRIES):
            self.counts["requests sent"] += 1
            for reply in self._once(coded):
                if (reply.type, reply.nonce, reply.sequence) == (type_ | 0x80, self._nonce, self._sequence):
                    self.counts[f"answered after {attempt} retries" if attempt < 3 else "answered after 3 or more retries"] += 1
                    if remember:
                        self.to_device.remember(coded)
                    self._sequence = (self._sequence + 1) % 256
                    return reply
                self.counts["replies to another request"] += 1
        self._problem(f"no reply in {TRIES} tries")
        self._connected = False
        return None

    def _once(self, coded: bytes) -> list[Frame]:
        received = self.device.exchange(self.to_device.send(coded)[1])
        if received is None:
            self._problem("the link hangs")
            return []
        arriving = bytearray()
        *pieces, rest = received.split(b"\0")
        for piece in pieces:
            arriving += bytes(self.to_host.send(piece + b"\0")[1])
            self.to_host.kept = [piece + b"\0"]
        if rest:
            self._problem("a reply has no end")
        return list(self._deframer.feed(bytes(arriving)))

    def _expect(self, reply: Frame | None, status: Status, payload: bytes = b"") -> None:
        if reply is None:
            return
        kind = {int(t): t.name for t in Type}.get(reply.type & 0x7f, "unknown type")
        self.counts[f"{kind}: {Status(reply.status).name}"] += 1
        if (reply.status, reply.payload) != (status, payload):
            self._problem(f"the reply is {reply}, not {status.name} with {payload.hex() or 'nothing'}")

    def _span(self) -> tuple[int, int]:
        start = self.rng.randrange(SIZE)
        return start, self.rng.randint(0, min(PAYLOAD, SIZE - start))

    def _read(self, start: int = -1, length: int = 0) -> None:
        if start < 0:
            start, length = self._span()
        before = self.device.count("requests")
        reply = self._ask(Type.READ, start.to_bytes(4, "little") + length.to_bytes(2, "little"))
        self._expect(reply, Status.OK, bytes(self.memory[start:start + length]))
        self._executed_once(before, length)

    def _write(self) -> None:
        start, length = self._span()
        data = bytes(length) if self.rng.random() < 0.1 else self.rng.randbytes(length)
        before = self.device.count("requests")
        reply = self._ask(Type.WRITE, start.to_bytes(4, "little") + data)
        self.memory[start:start + length] = data
        self._expect(reply, Status.OK)
        self._executed_once(before, length)

    def _executed_once(self, before: int, length: int) -> None:
        done = self.device.count("requests") - before
        if done != length:
            self._problem(f"{length} bytes took {done} bus requests")

    def _wait(self) -> None:
        running, limit = self.rng.random() < 0.5, self.rng.randrange(400)
        state = self.rng.getrandbits(24) << 8 | (State.RUNNING if running else State.DONE)
        self.device.set_state(state)
        reply = self._ask(Type.WAIT, limit.to_bytes(4, "little"))
        self._expect(reply, Status.TIMEOUT if running else Status.OK, state.to_bytes(4, "little"))
        self.device.set_state(State.IDLE)

    def _refused(self) -> None:
        far = self.rng.randrange(SIZE, 1 << 32).to_bytes(4, "little")
        type_, payload, status = self.rng.choice((
            (Type.READ, far + b"\1\0", Status.ADDRESS), (Type.WRITE, far + b"?", Status.ADDRESS),
            (Type.READ, far + (PAYLOAD + 1).to_bytes(2, "little"), Status.LENGTH), (Type.READ, b"", Status.LENGTH),
            (Type.WRITE, b"123", Status.LENGTH), (Type.WAIT, b"", Status.LENGTH), (9, far, Status.TYPE)))
        if type_ == Type.READ and status == Status.LENGTH and payload:
            payload = bytes(4) + payload[4:]
        self._expect(self._ask(type_, payload), status)
