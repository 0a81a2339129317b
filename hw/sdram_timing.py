"""What a datasheet asks of whoever drives an SDR SDRAM, and what it is in clock cycles."""
from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["AS4C16M16SA_7", "CLASS_7", "Cycles", "Geometry", "SMALL", "Timing", "W16"]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Bits of a chip's addresses: banks, rows of a bank, columns of a row. Words have 16 bits."""
    bank_bits: int
    row_bits: int
    column_bits: int

    @property
    def address_bits(self) -> int:
        """Of a word."""
        return self.bank_bits + self.row_bits + self.column_bits


W16 = Geometry(bank_bits=2, row_bits=13, column_bits=9)
"""256 Mbit by 16: 32 MB."""

SMALL = Geometry(bank_bits=2, row_bits=2, column_bits=4)
"""256 words, for benches."""


@dataclass(frozen=True, kw_only=True)
class Cycles:
    """A chip's timing at one frequency: clock cycles from a command to the earliest other one."""
    cas: int
    rcd: int
    rp: int
    ras: int
    rc: int
    rrd: int
    wr: int
    rfc: int
    mrd: int
    refresh: int
    power_up: int
    ras_most: int


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A chip's timing, in picoseconds unless said otherwise.

    Parameters
    ----------
    ck2, ck3
        Shortest clock period with CAS latency 2 and 3.
    rcd
        Row opened to column command.
    rp
        Bank closed to anything.
    ras, ras_most
        Row opened to bank closed, at least and at most.
    rc
        Row opened to row opened in the same bank.
    rrd
        Row opened to row opened in another bank.
    wr
        Last word written to bank closed.
    rfc
        Refresh to anything.
    refresh
        Refresh to refresh, on average.
    power_up
        Clock stable to first command.
    mrd
        Mode register to anything, in clock cycles.
    """
    ck2: int
    ck3: int
    rcd: int
    rp: int
    ras: int
    ras_most: int
    rc: int
    rrd: int
    wr: int
    rfc: int
    refresh: int
    power_up: int
    mrd: int = 2

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"Timing {field.name} must be a positive integer, not {value!r}")

    def cycles(self, clock_hz: int) -> Cycles:
        """Timing at ``clock_hz``: least times rounded up, greatest down, the lower CAS latency where there is time for it.

        Raises
        ------
        ValueError
            If the clock is faster than the chip's, or so slow that a refresh takes longer than there is until the next.
        """
        if not isinstance(clock_hz, int) or clock_hz < 1 or 10**12 < self.ck3 * clock_hz:
            raise ValueError(f"Clock of the memory must be at most {10**12 // self.ck3} Hz, not {clock_hz!r}")

        def least(time: int) -> int:
            return -(-time * clock_hz // 10**12)

        found = Cycles(cas=2 if self.ck2 * clock_hz <= 10**12 else 3, mrd=self.mrd, refresh=self.refresh * clock_hz // 10**12,
                       ras_most=self.ras_most * clock_hz // 10**12,
                       **{name: least(getattr(self, name)) for name in ("rcd", "rp", "ras", "rc", "rrd", "wr", "rfc", "power_up")})
        if found.refresh < 64 + found.rp + found.rfc:
            raise ValueError(f"Clock of the memory must leave {64 + found.rp + found.rfc} cycles between refreshes, not {found.refresh}")
        return found


AS4C16M16SA_7 = Timing(ck2=10_000, ck3=7_000, rcd=21_000, rp=21_000, ras=42_000, ras_most=120_000_000, rc=63_000, rrd=14_000, wr=14_000,
                       rfc=63_000, refresh=7_812_500, power_up=200_000_000)
"""Alliance AS4C16M16SA-7, datasheet revision 3.0, table 16."""

CLASS_7 = Timing(ck2=10_000, ck3=7_000, rcd=21_000, rp=21_000, ras=42_000, ras_most=100_000_000, rc=63_000, rrd=14_000, wr=15_000,
                 rfc=66_000, refresh=7_812_500, power_up=200_000_000)
"""The same with what we chose to add, as makers differ by a little: refresh, write recovery, how long a row may be open."""
