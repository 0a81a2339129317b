"""Model of an SDR SDRAM that refuses whatever its datasheet forbids."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ..hw.sdram_timing import Geometry, Timing

__all__ = ["Chip", "Violation"]

COMMANDS = {0b000: "nop", 0b100: "activate", 0b010: "read", 0b011: "write", 0b101: "precharge", 0b110: "refresh", 0b111: "mode",
            0b001: "terminate"}
"""By ras, cas, we, active high."""

POSTPONED = 3
"""Refreshes that may be late: they are averaged, and the datasheet bounds the 8192 of 64 ms."""


class Violation(AssertionError):
    """What a chip's datasheet forbids: the rule's name first."""

    def __init__(self, rule: str, sentence: str) -> None:
        super().__init__(f"{rule}: {sentence}")
        self.rule = rule


@dataclass
class _Bank:
    row: int | None = None
    opened: float = float("-inf")
    closed: float = float("-inf")
    written: float = float("-inf")


@dataclass
class Chip:
    """A chip whose pins are looked at once a clock cycle; times in picoseconds.

    ``cycle`` takes the pins and says what the chip drives on its data pins in the next cycle, or None. Counts commands in ``counts``,
    cycles in which words were moved in ``moved``.

    Raises
    ------
    Violation
        As soon as a command breaks a rule of the datasheet: times, commands in the wrong state, data pins driven from both ends.
    """
    timing: Timing
    geometry: Geometry
    period: int
    words: dict[int, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    fill: Callable[[int], int] = lambda address: (address * 40503 + 7) & 0xFFFF

    def __post_init__(self) -> None:
        self.now = -self.period
        self.banks = [_Bank() for _ in range(1 << self.geometry.bank_bits)]
        self.cas: int | None = None
        self.set_at = self.refreshed = self.activated = float("-inf")
        self.refreshes = 0
        self.running_since: int | None = None
        self.coming: dict[int, int] = {}                # cycle in which the word is on the pins -> word
        self.number = -1

    def cycle(self, *, enable: int, ras: int, cas: int, we: int, bank: int, address: int, mask: int, data: int, drive: int) -> int | None:
        """One rising edge of the clock."""
        self.now += self.period
        self.number += 1
        if drive and (self.number in self.coming or self.number - 1 in self.coming):
            raise Violation("bus", "the data pins are driven while the chip drives them or lets go of them")
        self.coming.pop(self.number - 1, None)
        command = COMMANDS[ras << 2 | cas << 1 | we] if enable else "nop"
        self.counts[command] += 1
        if command != "nop":
            self._common(command)
            getattr(self, f"_{command}")(bank, address, data, drive, mask)
        self._average()
        return self.coming.get(self.number + 1)

    def _rule(self, name: str, since: float, least: int, what: str) -> None:
        if self.now - since < least:
            raise Violation(name, f"{what} {self.now - since} ps after, not {least}")

    def _common(self, command: str) -> None:
        self._rule("power_up", 0, self.timing.power_up, f"{command} after power-up")
        self._rule("rfc", self.refreshed, self.timing.rfc, f"{command} after refresh")
        self._rule("mrd", self.set_at, self.timing.mrd * self.period, f"{command} after mode")
        if command in ("activate", "read", "write") and self.cas is None:
            raise Violation("mode", f"{command} before the mode is set")

    def _average(self) -> None:
        if self.running_since is not None and self.now - self.running_since > (self.refreshes + POSTPONED) * self.timing.refresh:
            raise Violation("refresh", f"{self.refreshes} refreshes in {self.now - self.running_since} ps")
        for bank in self.banks:
            if bank.row is not None and self.now - bank.opened > self.timing.ras_most:
                raise Violation("ras_most", f"row {bank.row} open for {self.now - bank.opened} ps")

    def _activate(self, bank: int, address: int, data: int, drive: int, mask: int) -> None:
        it = self.banks[bank]
        if it.row is not None:
            raise Violation("open", f"row {address} opened in bank {bank}, where row {it.row} is")
        self._rule("rp", it.closed, self.timing.rp, "row opened after bank closed")
        self._rule("rc", it.opened, self.timing.rc, "row opened after row opened")
        self._rule("rrd", self.activated, self.timing.rrd, "row opened after another bank's")
        if address >> self.geometry.row_bits:
            raise Violation("address", f"row {address}")
        it.row, it.opened, self.activated = address, self.now, self.now

    def _column(self, bank: int, address: int) -> int:
        it = self.banks[bank]
        if it.row is None:
            raise Violation("closed", f"column {address} of bank {bank}, which is closed")
        self._rule("rcd", it.opened, self.timing.rcd, "column command after row opened")
        if address >> self.geometry.column_bits:
            raise Violation("address", f"column {address}")                # also bit 10: no automatic closing
        return (it.row << self.geometry.bank_bits | bank) << self.geometry.column_bits | address

    def _read(self, bank: int, address: int, data: int, drive: int, mask: int) -> None:
        where = self._column(bank, address)
        if drive or mask:
            raise Violation("bus", "word read with the data pins driven or masked")
        assert self.cas is not None
        self.coming[self.number + self.cas] = self.words.get(where, self.fill(where))

    def _write(self, bank: int, address: int, data: int, drive: int, mask: int) -> None:
        where = self._column(bank, address)
        if not drive or mask:
            raise Violation("bus", "word written without the data pins driven, or masked")
        if any(cycle >= self.number for cycle in self.coming):
            raise Violation("bus", "word written while words read are to come")
        self.words[where] = data
        self.banks[bank].written = self.now

    def _precharge(self, bank: int, address: int, data: int, drive: int, mask: int) -> None:
        for it in self.banks if address >> 10 & 1 else [self.banks[bank]]:
            if it.row is not None:
                self._rule("ras", it.opened, self.timing.ras, "bank closed after row opened")
                self._rule("wr", it.written, self.timing.wr, "bank closed after word written")
                it.row = None
            it.closed = self.now

    def _refresh(self, bank: int, address: int, data: int, drive: int, mask: int) -> None:
        for it in self.banks:
            if it.row is not None:
                raise Violation("open", "refresh with a bank open")
            self._rule("rp", it.closed, self.timing.rp, "refresh after bank closed")
        self.refreshed = self.now
        self.refreshes += 1

    def _mode(self, bank: int, address: int, data: int, drive: int, mask: int) -> None:
        for it in self.banks:
            if it.row is not None:
                raise Violation("open", "mode set with a bank open")
            self._rule("rp", it.closed, self.timing.rp, "mode set after bank closed")
        if self.refreshes < 8:
            raise Violation("mode", f"mode set after {self.refreshes} refreshes, not 8")
        cas = address >> 4 & 7
        if address & ~0x70 or bank or cas not in (2, 3):
            raise Violation("mode", f"mode {address:#x}")
        if self.period < (self.timing.ck2 if cas == 2 else self.timing.ck3):
            raise Violation("ck", f"CAS latency {cas} with a clock of {self.period} ps")
        self.cas, self.set_at = cas, self.now
        self.running_since, self.refreshes = self.now, 0

    def _terminate(self, bank: int, address: int, data: int, drive: int, mask: int) -> None:
        raise Violation("command", "burst ended, and bursts have one word")
