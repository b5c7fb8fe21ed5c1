"""Short of disk or memory a worker claims nothing, says so once, and goes on by itself when there is room."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from infra import machine
from storage.catalogue.sql import SqlCatalogue
from storage.jobs import LANES_BY_URGENCY, JobState, SilentBell
from tests.workshop import a_workshop, an_uploaded_video
from workers import room
from workers.drain import Drain
from workers.health import RoomGauges, readiness
from workers.room import Room, room_at, shortage
from workers.runner import Runner
from workers.settings import WorkerSettings

GIB = 1024**3
PLENTY = Room(disk_bytes=100 * GIB, memory_bytes=16 * GIB)
LITTLE_DISK = Room(disk_bytes=GIB // 2, memory_bytes=16 * GIB)
LITTLE_MEMORY = Room(disk_bytes=100 * GIB, memory_bytes=GIB // 4)


@pytest.mark.parametrize(
    ("free", "sentence"),
    [
        (PLENTY, None),
        (LITTLE_DISK, "Short of disk: 512 MiB are free, 1024 MiB are the least to work with."),
        (LITTLE_MEMORY, "Short of memory: 256 MiB are free, 512 MiB are the least to work with."),
        (Room(disk_bytes=None, memory_bytes=None), None),
    ],
)
def test_a_shortage_is_a_sentence(free: Room, sentence: str | None) -> None:
    assert shortage(free, min_disk_bytes=GIB, min_memory_bytes=GIB // 2) == sentence


@pytest.mark.parametrize("little", [LITTLE_DISK, LITTLE_MEMORY], ids=["disk", "memory"])
def test_a_runner_without_room_claims_nothing_says_so_once_and_goes_on(little: Room, tmp_path: Path) -> None:
    catalogue = SqlCatalogue.in_memory()
    an_uploaded_video(catalogue)
    parts = a_workshop(tmp_path, catalogue=catalogue)
    found = [little, little, PLENTY]
    runner = Runner(
        catalogue,
        parts.blobs,
        SilentBell(),
        parts.tools,
        WorkerSettings(scratch=tmp_path),
        steps=parts.steps,
        sources=parts.sources,
        drain=Drain(),
        room=lambda folder: found.pop(0),
    )
    with structlog.testing.capture_logs() as logs:
        assert not runner.run_one(LANES_BY_URGENCY)
        assert not runner.run_one(LANES_BY_URGENCY)
        (waiting,) = catalogue.jobs()
        assert (waiting.state, waiting.token, waiting.attempts) == (JobState.READY, 0, 0)
        assert runner.run_one(LANES_BY_URGENCY)
    assert [log["event"] for log in logs if log["event"].startswith("claiming")] == [
        "claiming_paused",
        "claiming_resumed",
    ]


def test_probes_and_metrics_tell_of_a_shortage(tmp_path: Path) -> None:
    parts = a_workshop(tmp_path)
    settings = WorkerSettings(scratch=tmp_path, min_free_disk_bytes=10**18)
    reason = readiness(parts.catalogue, parts.blobs, Drain(), settings)()
    assert reason is not None
    assert reason.startswith("Short of disk")
    samples = {metric.name: metric.samples[0].value for metric in RoomGauges(settings).collect()}
    assert samples["fishladder_claiming_paused"] == 1
    assert samples["fishladder_scratch_free_bytes"] > 0
    assert (
        readiness(parts.catalogue, parts.blobs, Drain(), WorkerSettings(scratch=tmp_path, min_free_disk_bytes=0))()
        is None
    )


def test_a_folder_that_is_not_there_yet_is_on_the_disk_of_its_parent(tmp_path: Path) -> None:
    assert room_at(tmp_path / "not" / "yet").disk_bytes is not None


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 16 GiB free, and a container of 8 GiB on it."""
    (tmp_path / "meminfo").write_text("MemTotal: 33554432 kB\nMemAvailable: 16777216 kB\n")
    (tmp_path / "memory.max").write_text(f"{8 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{6 * GIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {GIB}\ninactive_file {3 * GIB}\n")
    monkeypatch.setattr(room, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(room, "CGROUP", tmp_path)
    return tmp_path


def test_a_container_has_what_its_limit_leaves_and_its_page_cache_could_give_back(container: Path) -> None:
    assert room_at(container).memory_bytes == 5 * GIB


def test_without_a_limit_the_machine_s_memory_counts(container: Path) -> None:
    (container / "memory.max").write_text("max\n")
    assert room_at(container).memory_bytes == 16 * GIB


def test_slots_are_those_of_the_container(container: Path) -> None:
    assert machine.memory_bytes() <= 8 * GIB
    assert machine.slots_for(16, 8 * GIB) == 2
