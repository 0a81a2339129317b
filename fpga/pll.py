"""Clock synthesis: divider settings of the FPGAs' PLLs, for exactly the frequency asked for."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from amaranth.hdl import Instance, Signal

from ..errors import MantissaError

__all__ = ["Ecp5Pll", "Ice40Pll", "pll_for"]

MHZ = 1_000_000


def _within(value: Fraction | int, low: float, high: float) -> bool:
    return low * MHZ <= value <= high * MHZ


@dataclass(frozen=True, kw_only=True)
class Ecp5Pll:
    """EHXPLLL with feedback from its first output: out = in / clki * clkfb, oscillator = out * clkop.

    Limits are those of the ECP5 family data sheet, sysCLOCK PLL timing.
    """
    clki: int
    clkfb: int
    clkop: int
    input_hz: int

    @property
    def vco_hz(self) -> Fraction:
        """Frequency of the oscillator."""
        return Fraction(self.input_hz * self.clkfb * self.clkop, self.clki)

    @property
    def output_hz(self) -> Fraction:
        """Frequency out."""
        return Fraction(self.input_hz * self.clkfb, self.clki)

    @property
    def legal(self) -> bool:
        """Whether every frequency is in its range."""
        return (_within(self.input_hz, 8, 400) and _within(Fraction(self.input_hz, self.clki), 10, 400)
                and _within(self.vco_hz, 400, 800) and _within(self.output_hz, 3.125, 400))

    @property
    def rank(self) -> tuple[int, Fraction]:
        """Least is best: highest comparison frequency, then the oscillator nearest the middle of its range."""
        return self.clki, abs(self.vco_hz - 600 * MHZ)

    @classmethod
    def candidates(cls, input_hz: int, output_hz: int) -> Iterator[Ecp5Pll]:
        """Settings that give the frequency exactly."""
        ratio = Fraction(output_hz, input_hz)
        for clki in range(ratio.denominator, 129, ratio.denominator):
            clkfb = int(ratio * clki)
            if 1 <= clkfb <= 128:
                yield from (cls(clki=clki, clkfb=clkfb, clkop=clkop, input_hz=input_hz) for clkop in range(1, 129))

    def instance(self, pin: Signal, clock: Signal, locked: Signal) -> Instance:
        """The cell, from ``pin`` to ``clock``."""
        return Instance(
            "EHXPLLL", a_FREQUENCY_PIN_CLKI=f"{self.input_hz / MHZ:g}", a_FREQUENCY_PIN_CLKOP=f"{float(self.output_hz) / MHZ:g}",
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1", a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED", p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA", p_OUTDIVIDER_MUXB="DIVB", p_OUTDIVIDER_MUXC="DIVC", p_OUTDIVIDER_MUXD="DIVD",
            p_CLKI_DIV=self.clki, p_CLKFB_DIV=self.clkfb, p_CLKOP_DIV=self.clkop, p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_CPHASE=self.clkop // 2, p_CLKOP_FPHASE=0, p_FEEDBK_PATH="CLKOP",
            i_RST=0, i_STDBY=0, i_CLKI=pin, i_CLKFB=clock, i_PHASESEL0=0, i_PHASESEL1=0, i_PHASEDIR=1, i_PHASESTEP=1,
            i_PHASELOADREG=1, i_PLLWAKESYNC=0, i_ENCLKOP=0, o_CLKOP=clock, o_LOCK=locked)


@dataclass(frozen=True, kw_only=True)
class Ice40Pll:
    """SB_PLL40_PAD in simple feedback: out = in / (divr + 1) * (divf + 1) / 2^divq.

    Limits are those of the iCE40 sysCLOCK PLL usage guide.
    """
    divr: int
    divf: int
    divq: int
    input_hz: int

    @property
    def compared_hz(self) -> Fraction:
        """Frequency at the phase comparator."""
        return Fraction(self.input_hz, self.divr + 1)

    @property
    def vco_hz(self) -> Fraction:
        """Frequency of the oscillator."""
        return self.compared_hz * (self.divf + 1)

    @property
    def output_hz(self) -> Fraction:
        """Frequency out."""
        return self.vco_hz / (1 << self.divq)

    @property
    def legal(self) -> bool:
        """Whether every frequency is in its range."""
        return (_within(self.input_hz, 10, 133) and _within(self.compared_hz, 10, 133) and _within(self.vco_hz, 533, 1066)
                and _within(self.output_hz, 16, 275))

    @property
    def rank(self) -> tuple[int, Fraction]:
        """Least is best: highest comparison frequency, then the slowest oscillator."""
        return self.divr, self.vco_hz

    @classmethod
    def candidates(cls, input_hz: int, output_hz: int) -> Iterator[Ice40Pll]:
        """Settings that give the frequency exactly."""
        for divr in range(16):
            for divq in range(1, 7):
                factor = Fraction(output_hz * (divr + 1) << divq, input_hz)
                if factor.denominator == 1 and 1 <= factor <= 128:
                    yield cls(divr=divr, divf=int(factor) - 1, divq=divq, input_hz=input_hz)

    def instance(self, pin: Signal, clock: Signal, locked: Signal) -> Instance:
        """The cell, from ``pin`` to ``clock``."""
        edges = (17, 26, 44, 66, 101)                # MHz at the comparator at which the loop filter's setting changes
        return Instance(
            "SB_PLL40_PAD", p_FEEDBACK_PATH="SIMPLE", p_PLLOUT_SELECT="GENCLK", p_DIVR=self.divr, p_DIVF=self.divf, p_DIVQ=self.divq,
            p_FILTER_RANGE=1 + sum(self.compared_hz >= edge * MHZ for edge in edges),
            i_PACKAGEPIN=pin, i_RESETB=1, i_BYPASS=0, o_PLLOUTGLOBAL=clock, o_LOCK=locked)


def pll_for(family: str, input_hz: int, output_hz: int) -> Ecp5Pll | Ice40Pll:
    """The best legal setting.

    Raises
    ------
    MantissaError
        If the family's PLL can not make exactly this frequency.
    """
    kind = {"ecp5": Ecp5Pll, "ice40": Ice40Pll}[family]
    legal = [pll for pll in kind.candidates(input_hz, output_hz) if pll.legal]
    if not legal:
        raise MantissaError(f"Configuration key clock_hz must be a frequency that the {family} PLL makes of {input_hz} Hz, not {output_hz}")
    return min(legal, key=lambda pll: pll.rank)
