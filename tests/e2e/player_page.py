"""Drives one of the players in Debian's Chromium through the page in ``pages/``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import Page, Route


@dataclass(frozen=True, slots=True)
class Report:
    """What the media element and the player say of themselves."""

    errors: list[str]
    first_frame_ms: float | None
    waiting: int
    waits: list[float]
    stalls: int
    stalled: bool
    stalled_ms: float
    buffered: list[tuple[float, float]]
    level: int
    time: float
    ended: bool
    width: int
    height: int
    frames: int
    dropped: int
    duration: float


class PlayerPage:
    def __init__(self, page: Page, base_url: str) -> None:
        self._page = page
        self._base_url = base_url
        self.console: list[str] = []
        page.on("console", lambda message: self.console.append(message.text))
        self.answered: list[str] = []
        """Addresses that were asked and answered well, in order."""
        page.on("response", lambda response: self.answered.append(response.url) if response.ok else None)
        page.goto(f"{base_url}/players.html")

    def report_as(self, session: str, events: str | None = None, *, readable: bool = False) -> None:
        """Players that are loaded from now on report how playback goes (CMCD), under this name; to the address ``events``
        also what happens. ``readable``: in shaka-player's build that nobody renamed anything in."""
        told = {"session": session} | ({"events": events} if events is not None else {})
        told |= {"readable": ""} if readable else {}
        self._page.goto(f"{self._base_url}/players.html?{urlencode(told)}")

    def begin_anew(self) -> None:
        """The page as if it had just been opened."""
        self._page.goto(f"{self._base_url}/players.html")

    def hold(self, pattern: re.Pattern[str]) -> Callable[[], None]:
        """Requests for what matches ``pattern`` wait from now on, until what is returned is called."""
        held: list[Route] | None = []

        def handle(route: Route) -> None:
            if held is None:
                route.continue_()
            else:
                held.append(route)

        def release() -> None:
            nonlocal held
            waiting, held = held or [], None
            for route in waiting:
                route.continue_()

        self._page.route(pattern, handle)
        return release

    def answered_by(self, ending: str) -> set[str]:
        """The hosts, with their ports, that answered requests for addresses of this ending."""
        return {urlsplit(url).netloc for url in self.answered if url.endswith(ending)}

    def wait(self, seconds: float) -> None:
        self._page.wait_for_timeout(1000 * seconds)

    def load(self, player: str, url: str, *, level: int | None = None) -> None:
        self._page.evaluate("([player, url, level]) => ladder.load(player, url, level)", [player, url, level])

    def block(self, pattern: str) -> None:
        """Requests for what matches ``pattern`` fail from now on."""
        self._page.route(pattern, lambda route: route.abort())

    def play(self, rate: float = 1.0) -> None:
        self._page.evaluate("(rate) => ladder.play(rate)", rate)

    def seek(self, seconds: float) -> None:
        self._page.evaluate("(seconds) => ladder.seek(seconds)", seconds)

    def choose(self, level: int) -> None:
        self._page.evaluate("(level) => ladder.choose(level)", level)

    def levels(self) -> list[int]:
        heights: list[int] = self._page.evaluate("() => ladder.levels()")
        return heights

    def show_text(self, language: str) -> None:
        self._page.evaluate("(language) => ladder.showText(language)", language)

    def text(self) -> list[str]:
        """What of the subtitles is to be read right now."""
        lines: list[str] = self._page.evaluate("() => ladder.text()")
        return lines

    def until_text(self, line: str, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while line not in (read := self.text()):
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{line!r} was never shown: {read}, {self.report()}; console: {self.console[-10:]}"
                )
            self._page.wait_for_timeout(50)

    def thumbnail(self, seconds: float) -> dict[str, Any] | None:
        """Which sprite the player would show for a time, and which part of it: ``url``, ``x``, ``y``, ``width``, ``height``."""
        found: dict[str, Any] | None = self._page.evaluate("(seconds) => ladder.thumbnail(seconds)", seconds)
        return found

    def report(self) -> Report:
        facts: dict[str, Any] = self._page.evaluate("() => ladder.report()")
        return Report(
            errors=facts["errors"],
            first_frame_ms=facts["firstFrameMs"],
            waiting=facts["waiting"],
            waits=facts["waits"],
            stalls=facts["stalls"],
            stalled=facts["stalledSince"] is not None,
            stalled_ms=facts["stalledMs"],
            buffered=[(start, end) for start, end in facts["buffered"]],
            level=facts["level"],
            time=facts["time"],
            ended=facts["ended"],
            width=facts["width"],
            height=facts["height"],
            frames=facts["frames"],
            dropped=facts["dropped"],
            duration=facts["duration"],
        )

    def until(
        self,
        true_of: Callable[[Report], bool],
        what: str,
        timeout_s: float = 60,
        *,
        ignores_errors: bool = False,
    ) -> Report:
        """The first report of which ``true_of`` holds. Errors end the wait at once, unless they are expected: they will
        be in the report."""
        deadline = time.monotonic() + timeout_s
        while True:
            report = self.report()
            if true_of(report) or (report.errors and not ignores_errors):
                return report
            if time.monotonic() > deadline:
                raise AssertionError(f"the player never came to {what}: {report}; console: {self.console[-10:]}")
            self._page.wait_for_timeout(50)

    def until_time(self, seconds: float) -> Report:
        return self.until(lambda report: report.time >= seconds, f"{seconds} s")

    def until_ended(self) -> Report:
        return self.until(lambda report: report.ended, "the end")

    def until_height(self, height: int) -> Report:
        return self.until(lambda report: report.height == height, f"a picture of height {height}")
