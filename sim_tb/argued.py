"""Mutants that no machine proves equivalent, and the argument why they are: those of ``argued.toml``.

An argument is of one Verilog text of a design: when that changes it holds no longer, and has to be made anew.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
import hashlib
from pathlib import Path
import tomllib

from ..design import Design
from ..gen.designs import verilog_of
from .campaign import Campaign

__all__ = ["Argument", "arguments", "failures", "fingerprint", "name_of", "reasons", "sort"]

PATH = Path(__file__).parent / "argued.toml"


@dataclass(frozen=True, kw_only=True)
class Argument:
    """Why mutants of a design whose Verilog has this fingerprint do what it does."""
    design: str
    verilog: str
    reason: str
    mutants: list[str]


@cache
def arguments() -> tuple[Argument, ...]:
    """All of them."""
    return tuple(Argument(**argument) for argument in tomllib.loads(PATH.read_text())["argument"])


def fingerprint(design: Design) -> str:
    """Sixteen digits of the SHA-256 of a design's Verilog."""
    return hashlib.sha256(verilog_of(design).encode()).hexdigest()[:16]


def reasons(design: Design) -> dict[str, str]:
    """By mutant, of those that hold for the design as it is."""
    made = [argument for argument in arguments() if argument.design == design.name]
    return {mutant: argument.reason for argument in made if argument.verilog == fingerprint(design) for mutant in argument.mutants}


def name_of(text: str) -> str:
    """Of a mutant as a campaign lists it: without the cycle in which it differs."""
    return text.partition(" (")[0]


def sort(design: Design, campaign: Campaign) -> tuple[list[str], list[str]]:
    """Mutants that are left and for which there is an argument, and those for which there is none."""
    known = reasons(design)
    left: tuple[list[str], list[str]] = [], []
    for text in campaign.surviving:
        left[name_of(text) not in known].append(text)
    return left


def failures(design: Design, campaign: Campaign) -> Iterator[str]:
    """Sentences about what must not be: a mutant that survives without an argument, or is told from its design in spite of one."""
    if not campaign.cases:
        yield "mutation: nothing was compared"
    for text in sort(design, campaign)[1]:
        yield f"mutation: {text} survives"
    for name in sorted(reasons(design).keys() & set(campaign.told)):
        yield f"mutation: {name} is told from the design, and argued to be equivalent"
