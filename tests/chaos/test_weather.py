"""The short form of the chaos runs: seeded, a storm of seconds. `make chaos` is the long one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.chaos.fleet import FAKETIME
from tests.chaos.report import Report
from tests.chaos.weather import CLOCKS, DATABASE_FAULTS, KILLS, Weather, compared, fair_weather

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where that can be had: what is tested is not the disk."""
    root = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(prefix="chaos-", dir=root) as path:
        yield Path(path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return fair_weather(Weather(workers=1), tmp_path_factory.mktemp("fair-weather"))


def in_order(report: Report, *, clocks: bool) -> None:
    print("\n" + report.line())
    assert report.problems == []
    assert (report.lost, report.committed_twice) == (0, 0)
    assert set(report.kills) == set(KILLS)
    assert report.re_executed > 0
    assert report.recoveries_s
    assert {f"clock {offset}" for offset in CLOCKS if clocks} <= set(report.faults)


@pytest.fixture
def clocks() -> bool:
    """Clocks jump where libfaketime is there to make them."""
    return FAKETIME.exists()


def test_workers_are_killed_while_their_disk_is_full_and_their_clocks_jump(
    folder: Path, clocks: bool, undisturbed: Report
) -> None:
    """What comes out is what an undisturbed run makes, to the byte. On SQLite the clock is the worker's own: leases end
    early or late, work is repeated or waits, and is committed once all the same."""
    weather = Weather(videos=4, workers=2, storm_s=5, every_s=0.4, outages=True, clocks=clocks)
    report = compared(weather, folder, undisturbed)
    in_order(report, clocks=clocks)
    assert report.faults["disk full"] > 0


def test_workers_are_killed_while_their_database_dies_behind_a_bad_network(
    folder: Path, clocks: bool, undisturbed: Report
) -> None:
    """Connections to PostgreSQL are cut, silent, refused, slow; answers are lost after the commit; it is killed as a whole.
    Of all clocks only its own counts."""
    weather = Weather(videos=4, workers=2, storm_s=5, every_s=0.4, database="postgres", outages=True, clocks=clocks)
    report = compared(weather, folder, undisturbed)
    in_order(report, clocks=clocks)
    assert report.faults["PostgreSQL killed"] > 0
    assert {f"database {fault}" for fault in DATABASE_FAULTS} <= set(report.faults)
