"""The link under damaged frames: a short campaign, and that a campaign notices what is wrong."""
from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from mantissa.sim_tb import link_fuzz
from mantissa.sim_tb.link_host import Host

FOLDER = Path(__file__).parent.parent / "build" / "verify"


def test_short_campaign() -> None:
    outcome = link_fuzz.rtl(3000, seed=2, folder=FOLDER)
    assert outcome.violations == [] and outcome.cases >= 3000
    assert outcome.counts["WRITE: OK"] > 50 and outcome.counts["READ: OK"] > 50 and outcome.counts["device: duplicates"] > 100


def test_changed_memory_is_a_violation() -> None:
    host = Host(Random(3), folder=FOLDER, damage=0.5)
    assert [problem for _ in range(20) for problem in host.operate()] == []
    host.memory[7] ^= 1
    assert any("memory is not what was written" in problem for problem in host.operate())
    assert host.finish() == []


def test_second_execution_is_a_violation() -> None:
    host = Host(Random(4), folder=FOLDER, damage=0.0)
    host._connect()
    host._executed_once(0, 1)
    assert any("1 bytes took 0 bus requests" in problem for problem in host._problems)
    host.device.close()


def test_no_cases_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert link_fuzz.main(["--codec", "0", "--rtl", "0", "--build", str(tmp_path)]) == 1
    assert "must have at least one case" in capsys.readouterr().out
    assert link_fuzz.main(["--codec", "100", "--rtl", "0", "--build", str(tmp_path)]) == 0
    assert "0 violations" in (tmp_path / "reports" / "link-fuzz.md").read_text()
