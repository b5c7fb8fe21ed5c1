"""A video that the stack under test has published."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx

SETTLED = {"ready", "rejected", "failed", "deleted"}


@dataclass(frozen=True, slots=True)
class PublishedVideo:
    id: str
    facts: dict[str, Any]

    def url(self, kind: str) -> str:
        """The manifest's URL: ``hls`` or ``dash``."""
        url = self.facts[f"{kind}_url"]
        assert isinstance(url, str)
        return url


def video_facts(api: str, video: str, *, key: str | None = None) -> dict[str, Any]:
    shown = {} if key is None else {"Authorization": f"Bearer {key}"}
    response = httpx.get(f"{api}/api/v1/videos/{video}", headers=shown, timeout=10)
    response.raise_for_status()
    facts: dict[str, Any] = response.json()
    return facts


def until_settled(api: str, video: str, *, timeout_s: float = 240, key: str | None = None) -> dict[str, Any]:
    """The video's facts once nothing more happens to it by itself; every state seen is in ``states_seen``. ``key``:
    where the stack asks for one."""
    deadline = time.monotonic() + timeout_s
    seen: list[str] = []
    while True:
        facts = video_facts(api, video, key=key)
        if not seen or seen[-1] != facts["state"]:
            seen.append(facts["state"])
        if facts["state"] in SETTLED:
            return {**facts, "states_seen": seen}
        if time.monotonic() > deadline:
            raise AssertionError(f"video {video} did not settle: {seen}, progress {facts['progress']}")
        time.sleep(0.1)


def until_state(api: str, video: str, state: str, *, timeout_s: float = 120) -> dict[str, Any]:
    """The video's facts as soon as it is in ``state``; anything it ends in instead is an error."""
    deadline = time.monotonic() + timeout_s
    while True:
        facts = video_facts(api, video)
        if facts["state"] == state:
            return facts
        if facts["state"] in SETTLED or time.monotonic() > deadline:
            raise AssertionError(f"video {video} is {facts['state']}, not {state}")
        time.sleep(0.05)
