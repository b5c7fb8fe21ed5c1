"""What `tests.run` makes of tests that fail once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.run import Outcome, Suite, render, run

UNSTEADY = """
from pathlib import Path

def test_steady(): pass

def test_unsteady():
    been_here = Path(__file__).with_suffix(".seen")
    first = not been_here.exists()
    been_here.touch()
    assert not first

def test_broken(): assert {works}
"""


def suite(folder: Path, *, works: bool, second_look: bool = True) -> Outcome:
    file = folder / "test_sample.py"
    file.write_text(UNSTEADY.format(works=works))
    command = (sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider", str(file))
    return run(Suite(name="sample", budget_s=60, commands=(command,), second_look=second_look))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of tests are relative to it, also at the second look


def test_what_passes_at_the_second_look_is_named(tmp_path: Path) -> None:
    outcome = suite(tmp_path, works=True)
    assert not outcome.failed
    assert outcome.counts == {"passed": 3, "failed": 0}
    assert "unsteady: test_sample.py::test_unsteady passed only at a second look" in render([outcome])


def test_what_is_broken_stays_broken(tmp_path: Path) -> None:
    outcome = suite(tmp_path, works=False)
    assert outcome.failed
    assert outcome.counts == {"passed": 2, "failed": 1}


def test_other_suites_get_one_look(tmp_path: Path) -> None:
    outcome = suite(tmp_path, works=True, second_look=False)
    assert outcome.failed
    assert outcome.unsteady == []
