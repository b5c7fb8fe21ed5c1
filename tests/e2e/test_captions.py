"""Subtitles of a source, and uploaded ones, are read in other people's players."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.player_page import PlayerPage
from tests.e2e.published import PublishedVideo, until_settled
from tests.e2e.stack import RunningStack

pytestmark = pytest.mark.e2e

PLAYERS = [
    pytest.param("hls.js", "hls", id="hls.js-HLS"),
    pytest.param("shaka-player", "hls", id="shaka-player-HLS"),
    pytest.param("shaka-player", "dash", id="shaka-player-DASH"),
]
IN_SOURCE = "1\n00:00:00,200 --> 00:00:14,000\nA salmon leaps\n"
UPLOADED = "1\n00:00:00,200 --> 00:00:14,000\nEin Lachs springt\n"


@pytest.fixture(scope="module")
def captioned(
    stack: RunningStack, film_file: Path, ffmpeg: Path, tmp_path_factory: pytest.TempPathFactory
) -> PublishedVideo:
    """A film with English subtitles inside, to which German captions were uploaded."""
    folder = tmp_path_factory.mktemp("captioned")
    (folder / "en.srt").write_text(IN_SOURCE)
    film = folder / "film.mp4"
    text = ("-i", str(folder / "en.srt"), "-map", "0", "-map", "1", "-c", "copy", "-c:s", "mov_text")
    command = [str(ffmpeg), "-v", "error", "-i", str(film_file), *text, "-metadata:s:s:0", "language=eng", str(film)]
    subprocess.run(command, check=True)
    video = stack.upload(film, title="Salmon")
    facts = until_settled(stack.api, video)
    assert facts["state"] == "ready", facts
    at = f"{stack.api}/api/v1/videos/{video}/subtitles"
    httpx.put(f"{at}/de", content=UPLOADED.encode(), timeout=30).raise_for_status()
    deadline = time.monotonic() + 60
    while "text-de/" not in httpx.get(facts["hls_url"], timeout=10).text:
        assert time.monotonic() < deadline, httpx.get(at, timeout=10).text
        time.sleep(0.2)
    assert [one["track"] for one in httpx.get(at, timeout=10).json()["subtitles"]] == ["en", "de"]
    return PublishedVideo(id=video, facts=facts)


@pytest.mark.parametrize(("player", "kind"), PLAYERS)
def test_subtitles_are_read_in_both_languages(
    player: str, kind: str, captioned: PublishedVideo, page: PlayerPage
) -> None:
    page.load(player, captioned.url(kind))
    page.show_text("de")
    page.play(0.1)
    page.until_text("Ein Lachs springt")
    page.show_text("en")
    page.until_text("A salmon leaps")
    assert page.report().errors == []


def test_files_of_subtitles_are_kept_for_good_by_caches(captioned: PublishedVideo) -> None:
    master = httpx.get(captioned.url("hls"), timeout=10)
    assert 'LANGUAGE="de"' in master.text
    playlist = httpx.get(str(httpx.URL(captioned.url("hls")).join("text-de/media.m3u8")), timeout=10)
    name = next(line for line in playlist.text.splitlines() if line.endswith(".vtt"))
    answer = httpx.get(str(playlist.url.join(name)), timeout=10)
    assert "Ein Lachs springt" in answer.text
    assert answer.headers["content-type"].startswith("text/vtt")
    assert "immutable" in answer.headers["cache-control"]
