"""A channel that damages frames, in the ways real lines do."""
from __future__ import annotations

from collections import Counter
from random import Random

__all__ = ["DAMAGE", "PAUSE", "Channel"]

PAUSE = 256
"""In a channel's output, an integer of at least this is a pause of so many cycles more."""

DAMAGE = ("flip", "flips", "drop", "insert", "overwrite", "truncate", "no delimiter", "lost", "twice", "stale", "noise", "pause", "split")


class Channel:
    """Sends frames on, damaged with a given probability.

    Parameters
    ----------
    rng
        Where chance comes from.
    damage
        Probability that a frame is damaged.
    pause
        Cycles without a byte after which a receiver drops a partial frame; 0 for a receiver without clock, whose lines do not pause.
    """

    def __init__(self, rng: Random, *, damage: float, pause: int = 0) -> None:
        self.rng = rng
        self.damage = damage
        self.pause = pause
        self.kinds: Counter[str] = Counter()
        self.kept: list[bytes] = []
        self._choices = DAMAGE if pause else DAMAGE[:-2]

    def remember(self, coded: bytes) -> None:
        """Keep a frame that may come again later."""
        self.kept.append(coded)
        if len(self.kept) > 100:
            del self.kept[:50]

    def send(self, coded: bytes) -> tuple[str, list[int]]:
        """What was done to the frame, and what arrives; the frame ends with its delimiter."""
        kind = self.rng.choice(self._choices) if self.rng.random() < self.damage else "none"
        self.kinds[kind] += 1
        return kind, list(coded) if kind == "none" else self._damaged(kind, coded)

    def _damaged(self, kind: str, coded: bytes) -> list[int]:
        rng, out = self.rng, list(coded)
        at, run = rng.randrange(len(out)), rng.randint(1, 12)
        if kind == "flip":
            out[at] ^= 1 << rng.randrange(8)
        elif kind == "flips":
            for _ in range(run + 1):
                out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
        elif kind == "drop":
            del out[at:at + run]
        elif kind == "insert":
            out[at:at] = rng.randbytes(run)
        elif kind == "overwrite":
            out[at:at + run] = rng.randbytes(len(out[at:at + run]))
        elif kind == "truncate":
            out = [*out[:at], 0]
        elif kind == "no delimiter":
            out.pop()
        elif kind == "lost":
            out = []
        elif kind == "twice":
            out += out
        elif kind == "stale":
            out = [*(rng.choice(self.kept) if self.kept else b""), *out]
        elif kind == "noise":
            out = [*rng.randbytes(rng.randint(1, 600)), *out]
        elif kind == "pause":
            out[at:at] = [PAUSE + rng.randint(1, 2 * self.pause)]
        else:
            out = [*out[:at], PAUSE + 2 * self.pause, *out]
        return out
