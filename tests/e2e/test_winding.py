"""Winding in players that are not ours: shaka-player by DASH's trick-mode set, hls.js by HLS's I-frame playlists."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import m3u8
import pytest
from lxml import etree
from playwright.sync_api import Browser, Page, Request

from tests.e2e.published import PublishedVideo

pytestmark = pytest.mark.e2e

DASH = {"d": "urn:mpeg:dash:schema:mpd:2011"}


class WindingPage:
    """``pages/winding.html``, and which byte ranges were asked for."""

    def __init__(self, page: Page, base_url: str) -> None:
        self._page = page
        self.ranges: list[tuple[str, str]] = []
        page.on("request", self._note)
        page.goto(f"{base_url}/winding.html")

    def _note(self, request: Request) -> None:
        wanted = re.fullmatch(r"bytes=(\d+-\d+)", request.headers.get("range", ""))
        if wanted is not None:
            self.ranges.append(("/".join(request.url.split("/")[-2:]), wanted[1]))

    def call(self, name: str, *arguments: Any) -> None:
        self._page.evaluate("([name, arguments]) => winding[name](...arguments)", [name, list(arguments)])

    def until(self, true_of: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while True:
            report: dict[str, Any] = self._page.evaluate("() => winding.report()")
            assert report["errors"] == []
            if true_of(report):
                return report
            assert time.monotonic() < deadline, f"the player never came to {what}: {report}"
            self._page.wait_for_timeout(50)


@pytest.fixture
def winding(browser: Browser, pages_url: str) -> Iterator[WindingPage]:
    opened = browser.new_page()
    yield WindingPage(opened, pages_url)
    opened.close()


def test_shaka_winds_by_the_pictures_of_the_trick_mode_set(film: PublishedVideo, winding: WindingPage) -> None:
    mpd = etree.fromstring(httpx.get(film.url("dash")).content)
    (trick,) = (
        each
        for each in mpd.iterfind(".//d:AdaptationSet", DASH)
        if each.find("d:EssentialProperty", DASH) is not None and each.get("contentType") == "video"
    )
    folder = trick.findtext("d:Representation/d:BaseURL", namespaces=DASH)
    pictures = [
        (f"{folder}{one.get('media')}", one.get("mediaRange")) for one in trick.iterfind(".//d:SegmentURL", DASH)
    ]

    winding.call("loadShaka", film.url("dash"), {"streaming": {"bufferingGoal": 4}})
    winding.call("play")
    winding.until(lambda seen: seen["time"] > 0.3, "its beginning")
    assert winding.ranges == []
    winding.call("wind", 4)
    at = winding.until(lambda seen: len(winding.ranges) >= 3, "pictures of the set")["time"]
    winding.call("stopWinding")
    winding.until(lambda seen: seen["time"] > at + 0.3 or seen["ended"], "playing on")
    first = pictures.index(winding.ranges[0])
    assert winding.ranges == pictures[first : first + len(winding.ranges)]


def test_hls_js_shows_one_picture_for_each_range_of_an_iframe_playlist(
    film: PublishedVideo, winding: WindingPage
) -> None:
    winding.call("loadHls", film.url("hls"))
    winding.call("showAt", 0.5)
    report = winding.until(lambda seen: seen["ready"] >= 2 and seen["time"] == 0.5, "the first picture")
    assert report["buffered"] == [[0, 2]]  # a picture, until the next one
    winding.call("showAt", 5.1)
    report = winding.until(lambda seen: seen["ready"] >= 2 and seen["time"] == 5.1, "the third picture")
    assert report["buffered"][-1][1] == 6
    (rung,) = {name.partition("/")[0] for name, _ in winding.ranges}
    playlist = m3u8.loads(httpx.get(film.url("hls").replace("master.m3u8", f"{rung}/iframes.m3u8")).text)
    named = []
    for entry in playlist.segments:
        size, _, start = entry.byterange.partition("@")
        named.append((f"{rung}/{entry.uri}", f"{start}-{int(start) + int(size) - 1}"))
    assert winding.ranges == [named[0], named[2]]
