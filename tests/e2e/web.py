"""What tests of the web app share: pages that note what goes wrong in them, and the questions that are asked of players."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page, ViewportSize, expect

SCREENS: dict[str, ViewportSize] = {
    "laptop": {"width": 1280, "height": 800},
    "phone": {"width": 390, "height": 844},
}

PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)

# A page that is left gives its event stream up, and a player that changes its mind its segments: that is no failure.
_GIVEN_UP = "net::ERR_ABORTED"

_STANDING = (
    "video && {at: video.currentTime, of: video.duration, ready: video.readyState, paused: video.paused,"
    " ended: video.ended, seeking: video.seeking, height: video.videoHeight, error: video.error?.message,"
    " buffered: Array.from({length: video.buffered.length}, (_, n) => [video.buffered.start(n), video.buffered.end(n)])}"
)
"""What a player is about, for a failure's message."""


@dataclass
class Opened:
    """A page of the app, and everything that went wrong in it."""

    page: Page
    base: str
    wrong: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.base + path)

    def until(self, condition: str, timeout_s: float = 90) -> None:
        """Wait until ``condition``, an expression over ``video``, holds. Playwright's own wait needs eval, which the
        page's policy forbids."""
        deadline = time.monotonic() + timeout_s
        while not self.ask(condition):
            assert time.monotonic() < deadline, f"{condition}; {self.ask(_STANDING)}; wrong: {self.wrong}"
            self.page.wait_for_timeout(50)

    def ask(self, expression: str) -> Any:
        return self.page.evaluate(f"() => {{ const video = document.getElementById('video'); return {expression}; }}")

    def play(self) -> None:
        self.until("video && video.readyState >= 2")
        self.page.evaluate("() => { const v = document.getElementById('video'); v.muted = true; return v.play(); }")

    def choose(self, *names: str) -> None:
        """Open the player's menu and walk through it."""
        self.page.mouse.move(200, 300)
        self.page.get_by_role("button", name="Settings").click()
        for name in names:
            self.page.locator(".menu button", has_text=name).first.click()


@contextmanager
def opened(
    browser: Browser, base: str, *, screen: str = "laptop", scheme: Literal["light", "dark"] = "light", **context: Any
) -> Iterator[Opened]:
    phone = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2} if screen == "phone" else {}
    made = browser.new_context(viewport=SCREENS[screen], color_scheme=scheme, **phone, **context)
    made.set_default_timeout(PATIENCE_MS)
    page = made.new_page()
    it = Opened(page, base)
    page.on("pageerror", lambda error: it.wrong.append(str(error)))
    page.on(
        "console", lambda said: it.wrong.append(f"{said.text} {said.location['url']}") if said.type == "error" else None
    )

    def failed(request: Any) -> None:
        if request.failure != _GIVEN_UP:
            it.wrong.append(f"{request.url}: {request.failure}")

    page.on("requestfailed", failed)
    try:
        yield it
    finally:
        made.close()


def serious_findings(page: Page, axe: Path) -> list[str]:
    """What axe finds against WCAG 2.2 A and AA, of weight «serious» and «critical»."""
    page.evaluate(axe.read_text())
    found: list[dict[str, Any]] = page.evaluate(
        """async () => {
            const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
            const { violations } = await axe.run(document, { runOnly: { type: "tag", values: tags } });
            return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
                .map(({ id, nodes }) => ({ id, nodes: nodes.map((node) => `${node.target} ${node.failureSummary}`) }));
        }"""
    )
    return [f"{each['id']}: {node}" for each in found for node in each["nodes"]]
