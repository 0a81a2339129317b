"""The page on formats shows what there is."""
from __future__ import annotations

from pathlib import Path
import re

import numpy as np
import pytest

from mantissa import formats
from mantissa.formats import MODES, RULES, STANDARD, get
from mantissa.formats_table import SHOWN, block_table, scalar_table

PAGE = (Path(__file__).parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("mark", "table"), [("scalars", scalar_table), ("blocks", block_table)])
def test_tables_are_generated(mark: str, table) -> None:
    shown = PAGE.partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- /{mark} -->")[0]
    assert shown == table()


def test_example_runs() -> None:
    code = re.search(r"```python\n(.*?)```", PAGE, re.S)
    assert code is not None
    names: dict[str, object] = {}
    lines = code[1].strip().splitlines()
    exec("\n".join(lines[:2]), names)
    results = [eval(line.partition("#")[0].strip(), names) for line in lines[2:]]
    assert results[0].tolist() == [56, 254] and results[2].scales.shape == (2,) and results[2].elements.shape == (64,)


def test_names_modes_and_rules_are_on_the_page() -> None:
    families = {re.sub(r"\d+", "#", name) for name in STANDARD}
    assert families == {re.sub(r"\d+", "#", name) for name in SHOWN}
    assert all(f"| `{mode}` |" in PAGE for mode in MODES) and all(f"| `{rule}` |" in PAGE for rule in RULES)


def test_tables_of_values_are_frozen() -> None:
    for name, fmt in STANDARD.items():
        assert not fmt.table.flags.writeable and fmt.table.dtype == np.float64 and get(name) is fmt
    assert all(hasattr(formats, name) for name in formats.__all__)
