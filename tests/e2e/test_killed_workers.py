"""Killing workers in the middle of an encode delays the result and changes nothing in it."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.published import PublishedVideo, until_settled, video_facts
from tests.e2e.stack import RunningStack

pytestmark = pytest.mark.e2e


def worker_processes(stack: RunningStack) -> list[psutil.Process]:
    """Celery's main processes and their pools, of this stack only."""
    return [
        process
        for process in psutil.Process(stack.process.pid).children(recursive=True)
        if any("celery" in word or word == "work" for word in _words(process))
    ]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def manifests(video: dict[str, object]) -> dict[str, str]:
    """The text of the multivariant playlist and of all media playlists."""
    master = str(video["hls_url"])
    found = {"master.m3u8": httpx.get(master).raise_for_status().text}
    for rendition in video["renditions"]:  # type: ignore[attr-defined]  # JSON
        name = f"{rendition['name']}/media.m3u8"
        found[name] = httpx.get(master.removesuffix("master.m3u8") + name).raise_for_status().text
    return found


def test_all_workers_killed_in_the_middle_of_an_encode_change_nothing_in_the_result(
    stack: RunningStack, film: PublishedVideo, another_file: Path
) -> None:
    video = stack.upload(another_file, title="Interrupted")
    deadline = time.monotonic() + 60
    while video_facts(stack.api, video)["progress"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert video_facts(stack.api, video)["state"] in ("encoding", "playable")
    victims = worker_processes(stack)
    assert victims
    for process in victims:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue

    facts = until_settled(stack.api, video)
    assert facts["state"] == "ready", facts
    assert manifests(facts) == manifests(film.facts), "segments are named by their content: the same bytes"
