"""The short form of the chaos runs: seeded, a storm of seconds. `make chaos` is the long one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.chaos.weather import Report, Weather, run

pytestmark = pytest.mark.integration


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where that can be had: what is tested is not the disk."""
    root = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(prefix="chaos-", dir=root) as path:
        yield Path(path)


def in_order(report: Report) -> None:
    print("\n" + report.line())
    assert report.problems == []
    assert (report.lost, report.committed_twice) == (0, 0)


def test_workers_are_killed_frozen_and_stopped_and_nothing_is_lost(folder: Path) -> None:
    """What comes out is what an undisturbed run makes, to the byte."""
    (folder / "fair").mkdir()
    (folder / "storm").mkdir()
    fair = run(Weather(videos=3, kills=False), folder / "fair")
    storm = run(Weather(videos=6, workers=2, storm_s=6, every_s=0.4), folder / "storm")
    in_order(fair)
    in_order(storm)
    assert storm.kills.total() > 3
    assert fair.kills.total() == fair.re_executed == 0
    expected = {name.partition("/")[2]: text for name, text in fair.manifests.items()}
    assert "master.m3u8" in expected
    for name, text in storm.manifests.items():
        assert text == expected[name.partition("/")[2]], name


def test_the_database_behind_a_bad_network_loses_nothing(folder: Path) -> None:
    """Connections to PostgreSQL are cut, silent, refused, slow; answers are lost after the commit. Workers die too."""
    report = run(Weather(videos=6, workers=2, storm_s=8, every_s=0.6, database="postgres"), folder)
    in_order(report)
    assert report.faults.total() > 2
