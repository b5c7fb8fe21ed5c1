"""How long a video takes from the last byte of its upload to `playable`, and where the time goes.

    python -m tests.bench.playable [--durations 30,600,3600,43200] [--uploads 5] [--busy] [--first-frame] [--container mkv]

Runs ``fishladder up`` on ports and a folder of its own, uploads films of several lengths (one short film made longer by
stream copy), and reads from the workers' own logs when each stage of each video began and ended. ``--busy`` fills the
queue with other people's work first. ``--first-frame`` opens each film's page in Chromium while it is being uploaded, and
tells when the first picture was shown there; the browser works on the same CPUs. Absolute figures belong to the machine
that they were measured on.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import statistics
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from tests.bench.films import NODE_MODULES, Film, long_film
from tests.bench.tables import render_table
from tests.e2e.published import video_facts
from tests.e2e.stack import RunningStack, running_stack

BODY_BYTES = 32 * 1024 * 1024
OTHERS_S = 1800
"""How long the films of other people are with which a queue is filled."""
QUIET_WITHIN_S = 120
STAGES = ("completed", "to inspect", "inspect", "to encode", "encode", "audio", "to publish", "publish", "playable")


@dataclass(frozen=True, slots=True)
class Turn:
    """One job's turn as a worker logged it, in seconds of the wall clock."""

    kind: str
    lane: str
    began_s: float
    ended_s: float
    video_state: str | None


@dataclass(frozen=True, slots=True)
class Measured:
    """Stages of one video in seconds; ``playable`` is the sum that people feel."""

    stages: dict[str, float]


def upload(
    stack: RunningStack, film: Film, title: str, *, created_as: Callable[[str], None] = lambda _: None
) -> tuple[str, float]:
    """Upload over tus; (video id, wall clock when the last byte had left). ``created_as`` gets the id before any byte."""
    address = urlsplit(stack.api)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=300)
    size = film.path.stat().st_size
    name = b64encode(title.encode()).decode()
    connection.request(
        "POST",
        "/files",
        headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(size), "Upload-Metadata": f"title {name}"},
    )
    created = connection.getresponse()
    created.read()
    assert created.status == 201, created.status
    video = created.getheader("Fishladder-Video") or ""
    created_as(video)
    location = urlsplit(created.getheader("Location") or "").path
    sent_s = 0.0
    with film.path.open("rb") as file:
        for offset in range(0, size, BODY_BYTES):
            body = file.read(BODY_BYTES)
            connection.putrequest("PATCH", location)
            for key, value in (
                ("Tus-Resumable", "1.0.0"),
                ("Upload-Offset", str(offset)),
                ("Content-Type", "application/offset+octet-stream"),
                ("Content-Length", str(len(body))),
            ):
                connection.putheader(key, value)
            connection.endheaders()
            connection.send(body)
            sent_s = time.time()
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 204, answer.status
    connection.close()
    return video, sent_s


def until_playable(stack: RunningStack, video: str, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        state = video_facts(stack.api, video)["state"]
        if state in ("playable", "ready"):
            return
        if state in ("rejected", "failed") or time.monotonic() > deadline:
            raise AssertionError(f"video {video} is {state}\n{stack.logs()}")
        time.sleep(0.1)


def log_lines(stack: RunningStack, video: str) -> list[dict[str, Any]]:
    """What services logged about ``video``, in order of time."""
    found = []
    for log in stack.state.rglob("*.log"):
        lines = log.read_text(errors="replace").splitlines()
        found += [json.loads(line) for line in lines if video in line and line.startswith("{")]
    return sorted(found, key=lambda line: str(line["timestamp"]))


def clock(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(str(line["timestamp"])).timestamp()


def turns(lines: list[dict[str, Any]]) -> list[Turn]:
    return [
        Turn(
            kind=line["kind"],
            lane=line["lane"],
            began_s=clock(line) - line["duration_ms"] / 1000,
            ended_s=clock(line),
            video_state=line["video_state"],
        )
        for line in lines
        if line["event"] == "job_done"
    ]


def measure(lines: list[dict[str, Any]], sent_s: float) -> Measured:
    """Stages of one video from what was logged about it."""
    done = turns(lines)
    completed_s = next(clock(line) for line in lines if line["event"] == "upload_completed")
    inspect = next(turn for turn in done if turn.kind == "inspect")
    publish = next(turn for turn in done if turn.kind == "publish" and turn.video_state in ("playable", "ready"))
    # Later chunks in the same lane are not waited for.
    fast = [turn for turn in done if turn.lane == "playable" and turn.ended_s <= publish.began_s + 0.05]
    encode = next(turn for turn in fast if turn.kind == "encode")
    audio = [turn for turn in fast if turn.kind == "audio"]
    last_s = max(turn.ended_s for turn in (encode, *audio))
    return Measured(
        stages={
            "completed": completed_s - sent_s,
            "to inspect": inspect.began_s - completed_s,
            "inspect": inspect.ended_s - inspect.began_s,
            "to encode": encode.began_s - inspect.ended_s,
            "encode": encode.ended_s - encode.began_s,
            "audio": max((turn.ended_s - turn.began_s for turn in audio), default=0.0),
            "to publish": publish.began_s - last_s,
            "publish": publish.ended_s - publish.began_s,
            "playable": publish.ended_s - sent_s,
        }
    )


def quantile(values: list[float], share: float) -> float:
    """The smallest value that ``share`` of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 100) * len(ordered) // 100) - 1))]


class Watching:
    """Pages in Chromium that wait for their films."""

    def __init__(self, browser: Browser, stack: RunningStack) -> None:
        self._browser, self._stack = browser, stack
        self._page: Page | None = None

    def open(self, video: str) -> None:
        self._page = self._browser.new_page()
        self._page.add_init_script(
            "const look = setInterval(() => { const video = document.querySelector('video'); if (!video) return;"
            " clearInterval(look); video.muted = true;"
            " video.requestVideoFrameCallback(() => { window.shownAt = Date.now(); }); }, 5);"
        )
        self._page.goto(f"{self._stack.api}/embed/{video}")

    def first_frame_s(self, timeout_s: float = 120) -> float:
        """Wall clock when the first picture was shown; closes the page."""
        assert self._page is not None
        deadline = time.monotonic() + timeout_s
        while (shown_ms := self._page.evaluate("() => window.shownAt || 0")) == 0:
            assert time.monotonic() < deadline, "no picture was shown"
            self._page.wait_for_timeout(20)
        self._page.close()
        return float(shown_ms) / 1000


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--durations", default="30,600,3600,43200", help="seconds, separated by commas")
    parser.add_argument("--uploads", type=int, default=5, help="of each length")
    parser.add_argument("--busy", action="store_true", help="with the queue full of other work")
    parser.add_argument("--first-frame", action="store_true", help="in Chromium, too")
    parser.add_argument("--container", default="mp4", help="mp4, mkv, ts or flv")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--file", type=Path, help="upload this instead of made films")
    parser.add_argument("--films", type=Path, help="folder that keeps the made films; default: none does")
    asked = parser.parse_args()
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(prefix="fishladder-bench-") as made:
        folder = asked.films or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        films = (
            [Film(path=asked.file, seconds=0)]
            if asked.file
            else [long_film(folder, int(seconds), asked.container) for seconds in asked.durations.split(",")]
        )
        state = Path(made) / "state"
        state.mkdir()
        # The same film comes again and again, and is to be encoded each time.
        env = {"FISHLADDER_WEB_LIBRARIES": str(NODE_MODULES), "FISHLADDER_DEDUPLICATE": "off"}
        with (
            running_stack(state, workers=asked.workers, env=env) as stack,
            chromium() if asked.first_frame else nullcontext() as browser,
        ):
            watching = Watching(browser, stack) if browser is not None else None
            if asked.busy:
                others = long_film(folder, OTHERS_S)
                for number in range(4):
                    until_playable(stack, upload(stack, others, f"Other work {number}")[0])
            for film in films:
                measured = [
                    _one(stack, film, f"Bench {number}", watching, busy=asked.busy) for number in range(asked.uploads)
                ]
                rows.append(_row(film, measured))
                print(render_table(("film", "of", *STAGES, "first frame"), rows), flush=True)


def _one(stack: RunningStack, film: Film, title: str, watching: Watching | None, *, busy: bool) -> Measured:
    video, sent_s = upload(stack, film, title, created_as=watching.open if watching else lambda _: None)
    first_frame_s = watching.first_frame_s() if watching else None
    until_playable(stack, video)
    time.sleep(0.3)  # the log line follows the commit
    found = measure(log_lines(stack, video), sent_s)
    if first_frame_s is not None:
        found.stages["first frame"] = first_frame_s - sent_s
    _quiet(stack, video, busy=busy)
    return found


def _row(film: Film, measured: list[Measured]) -> tuple[str, ...]:
    p50 = {stage: statistics.median(one.stages[stage] for one in measured) for stage in STAGES}
    p95 = quantile([one.stages["playable"] for one in measured], 0.95)
    cells = [f"{p50[stage]:.2f}" for stage in STAGES[:-1]]
    shown = [one.stages["first frame"] for one in measured if "first frame" in one.stages]
    first = f"p50 {statistics.median(shown):.2f} p95 {quantile(shown, 0.95):.2f}" if shown else ""
    return (film.label, str(len(measured)), *cells, f"p50 {p50['playable']:.2f} p95 {p95:.2f}", first)


def _quiet(stack: RunningStack, video: str, *, busy: bool) -> None:
    """Nothing of this video is left to do, so that the next one is measured alone: long films are cancelled, and workers learn
    that when they next renew their leases."""
    if busy:
        return
    httpx.delete(f"{stack.api}/api/v1/videos/{video}", timeout=30)
    until = time.monotonic() + QUIET_WITHIN_S
    while _tools_running(stack):
        if time.monotonic() > until:
            raise SystemExit(f"Workers went on with a deleted video for {QUIET_WITHIN_S} s.")
        time.sleep(0.5)
    time.sleep(1)


def _tools_running(stack: RunningStack) -> bool:
    return any(
        name.startswith("ffmpeg") for name in map(_name, psutil.Process(stack.process.pid).children(recursive=True))
    )


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


if __name__ == "__main__":
    main()
