"""Memories that are cut out of a module: what they are asked goes out of it, and what they give comes in."""
from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

__all__ = ["CUT", "CUTTING", "Memory", "memories"]

CUT = """
(* techmap_celltype = "$mem_v2" *)
module cut(RD_CLK, RD_EN, RD_ARST, RD_SRST, RD_ADDR, RD_DATA, WR_CLK, WR_EN, WR_ADDR, WR_DATA);
  parameter MEMID = "", SIZE = 1, OFFSET = 0, ABITS = 1, WIDTH = 1, INIT = 0, RD_PORTS = 1, RD_CLK_ENABLE = 0, RD_CLK_POLARITY = 0,
    RD_TRANSPARENCY_MASK = 0, RD_COLLISION_X_MASK = 0, RD_WIDE_CONTINUATION = 0, RD_CE_OVER_SRST = 0, RD_ARST_VALUE = 0,
    RD_SRST_VALUE = 0, RD_INIT_VALUE = 0, WR_PORTS = 1, WR_CLK_ENABLE = 0, WR_CLK_POLARITY = 0, WR_PRIORITY_MASK = 0,
    WR_WIDE_CONTINUATION = 0;
  input [RD_PORTS - 1:0] RD_CLK, RD_EN, RD_ARST, RD_SRST;
  input [RD_PORTS * ABITS - 1:0] RD_ADDR;
  output [RD_PORTS * WIDTH - 1:0] RD_DATA;
  input [WR_PORTS - 1:0] WR_CLK;
  input [WR_PORTS * WIDTH - 1:0] WR_EN, WR_DATA;
  input [WR_PORTS * ABITS - 1:0] WR_ADDR;
  wire [RD_PORTS * ABITS - 1:0] read;
  wire [WR_PORTS * ABITS - 1:0] written;
  genvar n;
  for (n = 0; n < RD_PORTS; n = n + 1) assign read[n * ABITS +: ABITS] = RD_EN[n] ? RD_ADDR[n * ABITS +: ABITS] : 0;
  for (n = 0; n < WR_PORTS; n = n + 1) assign written[n * ABITS +: ABITS] = |WR_EN[n * WIDTH +: WIDTH] ? WR_ADDR[n * ABITS +: ABITS] : 0;
  wire [RD_PORTS * (ABITS + 3) + WR_PORTS * (ABITS + 2 * WIDTH) - 1:0] cut_asked =
    {RD_EN, RD_ARST, RD_SRST, read, WR_EN, WR_DATA & WR_EN, written};
  wire [RD_PORTS * WIDTH - 1:0] cut_given;
  assign RD_DATA = cut_given;
endmodule
"""
"""File ``cut.v``: what is left of a memory."""

CUTTING = """
techmap -map cut.v {cells}
expose w:*.cut_asked
expose -input w:*.cut_given
"""
"""Yosys' commands for a flat module: of each of some memories, output ``.cut_asked`` and input ``.cut_given``."""


class Memory(NamedTuple):
    """Its name, its bits, and the widths of what it is asked and gives."""
    name: str
    bits: int
    asked: int
    given: int


def memories(path: Path, top: str) -> list[Memory]:
    """Those of a flat module in JSON, the smallest first."""
    found = []
    for name, cell in json.loads(path.read_text())["modules"][top]["cells"].items():
        if cell["type"] == "$mem_v2":
            keys = ("SIZE", "WIDTH", "ABITS", "RD_PORTS", "WR_PORTS")
            size, width, address, reads, writes = (int(cell["parameters"][key], 2) for key in keys)
            found.append(Memory(name, size * width, reads * (address + 3) + writes * (address + 2 * width), reads * width))
    return sorted(found, key=lambda memory: memory.bits)
