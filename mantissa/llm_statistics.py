"""Which of I2_S's layouts a file is in, from how often its weights are zero.

In a trained model some outputs, and some inputs, have more zeros than others. Read in interleaved rows what lies in blocks, or the other
way round, and four of them mix: the counts of rows and columns then scatter less. The two layouts of blocks differ by the order of
columns alone, the same in every row, so nothing within one matrix tells them apart; but a column is a channel, which elsewhere in the
same layer of the model is an element of a norm's gain, or a row of another matrix, and there in plain order. The right order
correlates with these. Where a file has no such structure nothing can be told, and the layout declared is believed.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .llm_weights import Floats
from .ternary import Bytes

__all__ = ["Evidence", "likelier"]

Counts = npt.NDArray[np.int64]

_SIGMAS = 6                                                 # of difference before a layout is refused
_LEAST = 25                                                 # and as much of squared correlation times channels; we chose both
_BLOCKS = {"i2_s_x86": 32, "i2_s_arm": 16}                  # bytes of a block


def _nonzero(table: Bytes) -> tuple[Counts, Counts]:
    """How many codes of each lane of bytes (n, wide) are not zero: by row (n, 4) and by column (wide, 4)."""
    inverted = ~table                                       # zero is code 1, the only one with its low bit set
    lanes = [inverted >> np.uint8(2 * lane) & np.uint8(1) for lane in range(4)]
    return tuple(np.stack([bits.sum(axis=axis, dtype=np.int64) for bits in lanes], axis=1) for axis in (1, 0))  # type: ignore[return-value]


def _dispersion(rows: Counts, columns: Counts) -> float:
    """Chi-squared of the counts of rows and columns against equal ones."""
    part = rows.sum() / (len(rows) * len(columns))
    if part in (0, 1):
        return 0.0
    spread = [((counts - other * part) ** 2).sum() / (other * part * (1 - part))
              for counts, other in ((rows, len(columns)), (columns, len(rows)))]
    return float(sum(spread))


def _correlation(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> float:
    """Squared correlation of ranks, times their number: about chi-squared with one degree of freedom if there is none."""
    x, y = (np.argsort(np.argsort(values, kind="stable")) - (len(a) - 1) / 2 for values in (a, b))
    return float(len(a) * (x @ y) ** 2 / ((x @ x) * (y @ y)))


@dataclass(frozen=True)
class Evidence:
    """Counts of weights that are not zero in one matrix of I2_S, under each layout it can be in.

    ``rows`` and ``columns`` are by layout; ``group`` is the layer of the model it is of.
    """
    group: str
    rows: Mapping[str, Counts]
    columns: Mapping[str, Counts]

    @classmethod
    def of(cls, group: str, parts: Iterable[Bytes], columns: int) -> Evidence:
        """From the bytes of a matrix whose columns are a multiple of 64, a multiple of four rows at a time as far as there are."""
        in_blocks, in_rows, whole = [], [], True
        lanes, plain = np.zeros((columns // 4, 4), np.int64), np.zeros(columns, np.int64)
        for part in parts:
            high, wide = _nonzero(part.reshape(-1, columns // 4))
            in_blocks.append(high.sum(axis=1))
            lanes += wide
            whole = whole and part.size % columns == 0
            if whole:
                high, wide = _nonzero(part.reshape(-1, columns))
                in_rows.append(high[:, ::-1].reshape(-1))
                plain += wide.sum(axis=1)
        by_row, by_column = {}, {}
        for layout, block in _BLOCKS.items():
            if columns % (4 * block) == 0:
                by_row[layout] = np.concatenate(in_blocks)
                by_column[layout] = lanes.reshape(-1, block, 4)[..., ::-1].transpose(0, 2, 1).reshape(-1)
        if whole:
            by_row["i2_s_rows"], by_column["i2_s_rows"] = np.concatenate(in_rows), plain
        return cls(group, by_row, by_column)

    def dispersion(self, layout: str) -> float:
        return _dispersion(self.rows[layout], self.columns[layout])


def _blocks_or_rows(declared: str, evidence: Sequence[Evidence]) -> bool:
    """Whether the layout is of the other kind than the one declared."""
    difference, freedom = 0.0, 0
    for one in evidence:
        blocks = next((layout for layout in _BLOCKS if layout in one.rows), None)
        if blocks is not None and "i2_s_rows" in one.rows:
            difference += one.dispersion(blocks) - one.dispersion("i2_s_rows")
            freedom += len(one.rows[blocks]) + len(one.columns[blocks])
    excess = difference if declared == "i2_s_rows" else -difference
    return bool(excess > _SIGMAS * (4 * freedom) ** 0.5)


def _best_blocks(evidence: Sequence[Evidence], signals: Mapping[str, Sequence[Floats]]) -> tuple[str | None, float]:
    """The layout of blocks whose columns correlate best, and how much better; None where there is nothing to compare."""
    score, pairs = dict.fromkeys(_BLOCKS, 0.0), 0
    for one in evidence:
        if not _BLOCKS.keys() <= one.rows.keys():
            continue
        wide = len(one.columns["i2_s_x86"])
        plain: list[npt.NDArray[np.generic]] = [np.abs(gain) for gain in signals.get(one.group, ()) if len(gain) == wide]
        plain += [other.rows["i2_s_x86"] for other in evidence
                  if other is not one and other.group == one.group and len(other.rows.get("i2_s_x86", ())) == wide]
        for signal in plain:
            pairs += 1
            for layout in _BLOCKS:
                score[layout] += _correlation(one.columns[layout], signal)
    best = max(score, key=score.__getitem__)
    if not pairs or max(score.values()) - min(score.values()) <= _LEAST + _SIGMAS * (4 * pairs) ** 0.5:
        return None, 0.0
    return best, score[best]


def likelier(declared: str, evidence: Sequence[Evidence], signals: Mapping[str, Sequence[Floats]]) -> str | None:
    """The layout that is likelier than the one declared, if there is one.

    ``signals`` are vectors in plain order, by the layer they are of: those as long as a matrix is wide are compared with its columns.
    """
    best, _ = _best_blocks(evidence, signals)
    if _blocks_or_rows(declared, evidence):
        return (best or "i2_s_x86") if declared == "i2_s_rows" else "i2_s_rows"
    if declared in _BLOCKS and best not in (None, declared):
        return best
    return None
