"""Subtitles over REST: what is taken, what is refused and why, and what waits for workers then; in process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from storage.catalogue.sql import SqlCatalogue
from storage.jobs import JobKind
from storage.keys import rendition_key
from storage.media.ladder import Chunk
from storage.media.time import FrameRange
from tests.builders import a_new_job, an_encode_plan, an_inspected
from tests.journeys import a_playable_video, an_encoding_video, an_uploaded_video, take
from tests.uploads import small_app
from upload_api.app import Ports
from upload_api.captions import MAX_CAPTION_BYTES

VTT = b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n"
SRT = b"1\n00:00:01,000 --> 00:00:02,000\nGuten Tag\n"


def call(ports: Ports, method: str, path: str, **how: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app=small_app(ports))
        async with httpx.AsyncClient(transport=transport, base_url="http://fish.test") as http:
            return await http.request(method, f"/api/v1{path}", **how)

    return asyncio.run(once())


def test_subtitles_are_stored_as_webvtt_and_wait_to_be_cut(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    told = call(ports, "PUT", f"/videos/{video}/subtitles/de-cc", content=SRT, params={"kind": "captions"})
    assert told.status_code == 200, told.text
    assert told.json() == {
        "track": "de-cc",
        "language": "de",
        "label": "German (captions)",
        "kind": "captions",
        "default": False,
        "uploaded": True,
        "ready": False,
    }
    job = take(catalogue, JobKind.SUBTITLES)
    key = rendition_key(catalogue.video(video).asset, "text-de-cc", job.payload["whole"])
    assert ports.blobs.get(key) == b"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nGuten Tag\n"
    assert call(ports, "GET", f"/videos/{video}/subtitles").json()["subtitles"] == [told.json()]


def test_what_is_said_of_a_track_is_kept(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    said = {"language": "pt-BR", "label": "Português\x00", "kind": "forced", "default": "true"}
    told = call(ports, "PUT", f"/videos/{video}/subtitles/signs", content=VTT, params=said).json()
    assert (told["language"], told["label"], told["kind"], told["default"]) == ("pt-br", "Português", "forced", True)


def test_utf_16_with_its_mark_is_read(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    assert call(ports, "PUT", f"/videos/{video}/subtitles/en", content=SRT.decode().encode("utf-16")).status_code == 200


@pytest.mark.parametrize(
    ("track", "content", "params", "words"),
    [
        pytest.param("en", b"", {}, "neither WebVTT", id="empty"),
        pytest.param("en", b"<tt xmlns='http://www.w3.org/ns/ttml'/>", {}, "neither WebVTT", id="TTML"),
        pytest.param("en", b"WEBVTT\n\nno cue\n", {}, "no cue", id="no cue"),
        pytest.param("en", b"1\n00:00:01,000 --> 00:00:02,000\n\xfcber\n", {}, "not UTF-8", id="Latin-1"),
        pytest.param("en", b"\x00\x01\x02", {}, "not a text", id="binary"),
        pytest.param("en", VTT, {"language": "klingon language"}, "language tag", id="language"),
        pytest.param("EN", VTT, {}, "lower-case", id="capitals"),
        pytest.param("en.vtt", VTT, {}, "lower-case", id="dot"),
        pytest.param("x" * 33, VTT, {}, "lower-case", id="long name"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_reason(
    track: str, content: bytes, params: dict[str, str], words: str, ports: Ports, catalogue: SqlCatalogue
) -> None:
    video = a_playable_video(catalogue)
    answer = call(ports, "PUT", f"/videos/{video}/subtitles/{track}", content=content, params=params)
    assert answer.status_code in (400, 422), answer.text
    assert words in answer.json()["detail"]
    assert call(ports, "GET", f"/videos/{video}/subtitles").json() == {"subtitles": []}


def test_too_much_text_is_refused(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    answer = call(ports, "PUT", f"/videos/{video}/subtitles/en", content=VTT + b" " * MAX_CAPTION_BYTES)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_video_that_is_not_inspected_yet_takes_none(ports: Ports, catalogue: SqlCatalogue) -> None:
    video, _ = an_uploaded_video(catalogue)
    assert call(ports, "PUT", f"/videos/{video}/subtitles/en", content=VTT).status_code == 409
    assert call(ports, "PUT", "/videos/nobody/subtitles/en", content=VTT).status_code == 404


def test_deleted_subtitles_are_gone(ports: Ports, catalogue: SqlCatalogue) -> None:
    video = a_playable_video(catalogue)
    call(ports, "PUT", f"/videos/{video}/subtitles/en", content=VTT)
    assert call(ports, "DELETE", f"/videos/{video}/subtitles/en").status_code == 204
    assert call(ports, "GET", f"/videos/{video}/subtitles").json() == {"subtitles": []}
    assert call(ports, "DELETE", f"/videos/{video}/subtitles/en").status_code == 404


CUE = b"1\n00:00:01,000 --> 00:00:02,000\n"
HOSTILE = {
    "fonts": CUE + (b"<font " * 3000 + b"\n") * 200,
    "braces": CUE + (b"{\\" * 9000 + b"\n") * 150,
    "spaces": CUE + (b"00:00:01,000 --> 00:00:02,000" + b" " * 19_000 + b"x\n") * 200,
    "digits": b"WEBVTT\n\n" + (b"1" * 19_000 + b":00:00.000 --> 00:01.000\nx\n\n") * 200,
    "styles": b"WEBVTT\n\n" + (b"STYLE\nurl" + b" " * 19_000 + b"x\n\n") * 200 + b"00:00.000 --> 00:01.000\nx\n",
    "marks": CUE + (b"<" * 19_000 + b"\n") * 200,
    "one line": CUE + b"<font " * 600_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_keeps_a_server_busy(name: str, tmp_path: Path) -> None:
    """A pattern that needs a square of time takes hours for this, and nobody can interrupt it; so it has a process."""
    file = tmp_path / "hostile"
    file.write_bytes(HOSTILE[name])
    subprocess.run([sys.executable, "-c", CHECK, str(file)], timeout=120, check=True)


CHECK = """
import pathlib, sys
from storage.errors import InvalidRequest
from upload_api.captions import checked_captions
try:
    checked_captions(pathlib.Path(sys.argv[1]).read_bytes())
except InvalidRequest:
    pass
"""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (CUE + b"x" * 20_001, "more than 20000 characters"),
        (b"WEBVTT\n\n" + b"1" * 5000 + b":00:00.000 --> 00:01.000\nx\n", "no cue"),
        (b"WEBVTT\n\nSTYLE\n" + b"::cue{color:red}\n" * 2000 + b"\n00:00.000 --> 00:01.000\nx\n", "16 KiB"),
        (b"WEBVTT\n\n" + b"00:00.000 --> 99:00:00.000\n" + b"x" * 9000 + b"\n", None),
        (b"WEBVTT\n\n" + (b"00:00.000 --> 99:00:00.000\n" + b"x" * 9000 + b"\n\n") * 400, "64 MiB"),
    ],
    ids=["long line", "long hour", "long style", "a long cue", "long cues"],
)
def test_what_would_grow_out_of_all_bounds_is_refused(
    ports: Ports, catalogue: SqlCatalogue, data: bytes, said: str | None
) -> None:
    frames = FrameRange(0, 90_000)  # an hour
    plan = an_encode_plan(total_frames=frames.stop, chunks=(Chunk(index=0, frames=frames, first_segment=0),))
    video = an_encoding_video(catalogue, an_inspected(plan=plan, jobs=(a_new_job(),)))
    told = call(ports, "PUT", f"/videos/{video}/subtitles/en", content=data)
    assert told.status_code == (200 if said is None else 400), told.text
    assert said is None or said in told.json()["detail"]
