"""Files made to do harm, through the whole pipeline with real tools. What a tool itself may do is in `test_run_tool`."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from storage.errors import ToolTimedOut
from storage.lifecycle import VideoState
from tests.media import Pictures, make_film
from tests.pipeline import through_the_pipeline
from workers.ffmpeg.process import Limits, Tools, find_tools, run_tool
from workers.planning.encode_plan import plan_encode
from workers.planning.policy import DEFAULT_POLICY
from workers.planning.report import describe_source
from workers.retries import Past, Refuse, decide
from workers.steps.inspect import inspect_file

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=12:duration=1")
SOUND = ("-f", "lavfi", "-i", "sine=duration=1")


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.fixture
def make(tools: Tools, tmp_path: Path) -> Callable[..., Path]:
    """Runs ffmpeg with these arguments; the last one is the name of the file."""

    def run(*argv: str) -> Path:
        *options, name = argv
        subprocess.run([str(tools.ffmpeg), "-v", "error", *options, f"file:{tmp_path / name}"], check=True)
        return tmp_path / name

    return run


# --- references to other files and hosts -----------------------------------------------------------------------------


def url(location: str) -> bytes:
    """A data reference to ``location`` (ISO 14496-12, 8.7.2)."""
    return (13 + len(location)).to_bytes(4, "big") + b"url " + bytes(4) + location.encode() + b"\0"


def alias(path: Path) -> bytes:
    """A data reference as QuickTime writes them: a Macintosh alias record, of which 2 is the absolute path."""
    name = str(path).encode() + b"\0" * (len(str(path)) % 2)
    record = bytes(150) + b"\x00\x02" + len(name).to_bytes(2, "big") + name + b"\xff\xff\x00\x00"
    return (12 + len(record)).to_bytes(4, "big") + b"alis" + bytes(4) + record


def pointing_at(film: bytes, entry: bytes) -> bytes:
    """``film``, an MP4 with its index at the end, whose tracks say that their data lies where ``entry`` says."""
    own = b"\x00\x00\x00\x0curl \x00\x00\x00\x01"
    while (at := film.find(own)) >= 0:
        film = _grown(film, at, len(entry) - len(own))
        film = film[:at] + entry + film[at + len(own) :]
    return film


def _grown(film: bytes, at: int, more: int) -> bytes:
    """All boxes around ``at`` larger by ``more``."""
    changed, start, end = bytearray(film), 0, len(film)
    while start + 8 <= end:
        length, name = int.from_bytes(film[start : start + 4], "big"), film[start + 4 : start + 8]
        if not start < at < start + length:
            start += length
            continue
        changed[start : start + 4] = (length + more).to_bytes(4, "big")
        end = start + length
        start += 16 if name == b"dref" else 8
    return bytes(changed)


def in_cage(tools: Tools, cage: str) -> Tools:
    """A cage hides everything anyway; without one, lists of protocols and of formats have to."""
    return replace(tools, bwrap=None) if cage == "none" else tools


@pytest.mark.parametrize("cage", ["as it is here", "none"])
def test_a_film_that_refers_to_another_host_calls_nobody(
    cage: str, make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    tools = in_cage(tools, cage)
    film = make(*PICTURE, "-c:v", "libx264", "film.mp4")
    with socket.create_server(("127.0.0.1", 0)) as host:
        host.setblocking(False)
        film.write_bytes(pointing_at(film.read_bytes(), url(f"http://127.0.0.1:{host.getsockname()[1]}/secret.mp4")))
        video, _ = through_the_pipeline(film, tmp_path, tools)
        with pytest.raises(BlockingIOError):
            host.accept()
    assert video.state in (VideoState.READY, VideoState.REJECTED)


@pytest.mark.parametrize("cage", ["as it is here", "none"])
def test_a_film_that_refers_to_a_file_shows_nothing_of_it(
    cage: str, make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    tools = in_cage(tools, cage)
    white = ("-f", "lavfi", "-i", "color=white:size=96x64:rate=12:duration=1", "-c:v", "libx264")
    secret = make(*white, "secret.mp4")
    film = make(*white, "film.mp4")
    # Where its own pictures were there is nothing: only the other file has any.
    data = bytearray(pointing_at(film.read_bytes(), alias(secret)))
    at = data.index(b"mdat") + 4
    end = at - 8 + int.from_bytes(data[at - 8 : at - 4], "big")
    data[at:end] = bytes(end - at)
    film.write_bytes(data)
    # The trap works on a tool that is let.
    let = ("-enable_drefs", "1", "-use_absolute_path", "1", "-protocol_whitelist", "file")
    control = subprocess.run(
        [str(tools.ffmpeg), "-v", "error", *let, "-i", str(film), "-f", "rawvideo", "-frames:v", "1", "-"],
        capture_output=True,
        check=False,
    )
    assert control.stdout
    video, _ = through_the_pipeline(film, tmp_path, tools)
    assert video.state is VideoState.REJECTED


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", id="HLS"),
        pytest.param("ffconcat version 1.0\nfile /etc/passwd\n", id="ffconcat"),
        pytest.param("<?xml version='1.0'?><MPD><BaseURL>http://localhost/</BaseURL></MPD>", id="DASH"),
        pytest.param("v=0\r\nc=IN IP4 127.0.0.1\r\nm=video 9 RTP/AVP 96\r\n", id="SDP"),
    ],
)
def test_lists_named_like_films_are_refused_unread(text: str, tools: Tools, tmp_path: Path) -> None:
    file = tmp_path / "film.mp4"
    file.write_text(text)
    video, _ = through_the_pipeline(file, tmp_path, tools)
    assert (video.state, video.reason_code) == (VideoState.REJECTED, "not_media")


# --- small files that want much --------------------------------------------------------------------------------------


def test_a_small_file_with_a_picture_of_a_gigabyte_is_refused(
    make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    bomb = make(*PICTURE, "bomb.gif")
    data = bytearray(bomb.read_bytes())
    data[6:10] = (16_384).to_bytes(2, "little") * 2  # the logical screen (GIF89a, 18)
    bomb.write_bytes(data)
    video, _ = through_the_pipeline(bomb, tmp_path, tools)
    assert (video.state, video.reason_code) == (VideoState.REJECTED, "picture_too_large")
    assert "16384x16384" in video.reason


def test_hundreds_of_tracks_are_too_many(tools: Tools, tmp_path: Path) -> None:
    file = tmp_path / "crowd.mkv"
    with av.open(str(file), "w") as crowd:
        streams = [crowd.add_stream("pcm_u8", rate=8000) for _ in range(200)]
        crowd.start_encoding()
        for stream in streams:
            packet = av.Packet(bytes(800))
            packet.stream, packet.pts, packet.dts = stream, 0, 0
            crowd.mux(packet)
    video, _ = through_the_pipeline(file, tmp_path, tools)
    assert (video.state, video.reason_code) == (VideoState.REJECTED, "too_many_tracks")


def test_thousands_of_tracks_are_not_even_opened(tools: Tools, tmp_path: Path) -> None:
    tracks = b"".join(
        _element(
            0xAE,  # TrackEntry: number, UID, type, codec (RFC 9559, 5.1.4.1)
            _element(0xD7, number.to_bytes(2, "big")),
            _element(0x73C5, number.to_bytes(2, "big")),
            _element(0x83, b"\x02"),
            _element(0x86, b"A_PCM/INT/LIT"),
        )
        for number in range(1, 5001)
    )
    head = _element(0x1A45DFA3, _element(0x4282, b"matroska"))
    file = tmp_path / "crowd.mkv"
    file.write_bytes(head + _element(0x18538067, _element(0x1654AE6B, tracks)))
    video, _ = through_the_pipeline(file, tmp_path, tools)
    assert video.state is VideoState.REJECTED
    assert video.reason_code in {"damaged_source", "too_many_tracks", "source_crashes_decoder"}


def _element(id_: int, *content: bytes) -> bytes:
    """An EBML element (RFC 8794, 5 and 6) whose length takes four bytes."""
    body = b"".join(content)
    return id_.to_bytes(-(-id_.bit_length() // 8), "big") + (len(body) | 0x10000000).to_bytes(4, "big") + body


def test_a_few_pictures_that_claim_days_make_few_frames(tools: Tools, tmp_path: Path) -> None:
    """A still picture for two days is a film of few frames, not of millions; what lasts longer is refused."""
    times = [*(Fraction(number, 25) for number in range(20)), Fraction(169_000)]
    film = make_film(tmp_path / "slow.mkv", Pictures(times=times), container="matroska")
    assert film.stat().st_size < 20_000
    plan = plan_encode(inspect_file(film, tools=tools, scratch=tmp_path), DEFAULT_POLICY)
    assert plan.total_frames < 20_000

    times[-1] = Fraction(200_000)
    film = make_film(tmp_path / "slower.mkv", Pictures(times=times), container="matroska")
    video, _ = through_the_pipeline(film, tmp_path, tools)
    assert (video.state, video.reason_code) == (VideoState.REJECTED, "too_long")


# --- names and words -------------------------------------------------------------------------------------------------


def test_control_characters_in_titles_reach_neither_manifests_nor_terminals(
    make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    evil = 'x"\n#EXT-X-ENDLIST\r\n<script>\x1b[31m\x07'
    said = ("-metadata", f"title={evil}", "-metadata:s:a:0", f"title={evil}", "-metadata:s:a:0", f"language={evil}")
    film = make(*PICTURE, *SOUND, "-c:v", "libx264", "-c:a", "aac", *said, "film.mkv")
    terminal = describe_source(inspect_file(film, tools=tools, scratch=tmp_path))
    assert all(line.isprintable() for line in terminal.splitlines())
    video, _ = through_the_pipeline(film, tmp_path, tools)
    assert video.state is VideoState.READY
    for manifest in (*(tmp_path / "site").rglob("*.m3u8"), tmp_path / "site" / "manifest.mpd"):
        text = manifest.read_text()
        assert "script" not in text
        assert text.count("#EXT-X-ENDLIST") <= 1
        assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("name", ["-i.mp4", "--help", "%d.mp4", "pipe:0", "film.mp4|rm -rf .mp4", "$(reboot).mp4"])
def test_a_name_is_never_an_option_a_pattern_or_a_command(
    name: str, make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    film = make(*PICTURE, "-c:v", "libx264", "film.mp4")
    video, _ = through_the_pipeline(film.rename(tmp_path / name), tmp_path, tools)
    assert video.state is VideoState.READY


def test_a_small_file_that_decodes_for_hours_ends_at_the_limit(
    make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    """ffmpeg takes the limit's signal for a wish to end, and ends with a code of its own: the source is at fault all the
    same."""
    black = ("-f", "lavfi", "-i", "color=black:size=640x640:rate=25:duration=1", "-c:v", "libx264", "-g", "1000")
    film = make(*black, "small.mp4")
    assert film.stat().st_size < 10_000
    decode = ["-nostdin", "-stream_loop", "-1", "-i", f"file:{film}", "-f", "null", "-"]
    with pytest.raises(ToolTimedOut) as raised:
        run_tool(
            [str(tools.ffmpeg), *decode],
            tools=tools,
            scratch=tmp_path,
            reads=(film,),
            limits=Limits(cpu_s=1),
            check=False,
        )
    assert decide(raised.value, Past(attempts=1, code="tool_timed_out", repeats=1)) == Refuse(
        "source_crashes_decoder", "Decoding this file crashes our tools or takes them over their limits."
    )


def test_a_small_film_that_costs_more_than_anyone_gives_ends_refused(
    make: Callable[..., Path], tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large pictures that are all the same take a few bytes each, and as long to decode and scale as any. What they may take
    is made small here, so that hours are a second."""
    black = ("-f", "lavfi", "-i", "color=black:size=3840x2160:rate=25:duration=8")
    film = make(*black, "-c:v", "libx264", "-preset", "ultrafast", "-g", "250", "-bf", "0", "small.mp4")
    assert film.stat().st_size < 50_000
    limits = Limits(cpu_s=1, memory_bytes=8 * 1024**3)
    monkeypatch.setattr("workers.steps.encode._limits", lambda work: limits)
    video, _ = through_the_pipeline(film, tmp_path, tools)
    assert (video.state, video.reason_code) == (VideoState.REJECTED, "source_crashes_decoder")


def test_output_that_would_fill_the_disk_ends_at_the_limit(
    make: Callable[..., Path], tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = ("-f", "lavfi", "-i", "nullsrc=size=192x128:rate=12:duration=4,geq=random(1)*255:128:128")
    film = make(*noise, "-c:v", "libx264", "-preset", "ultrafast", "noise.mp4")
    limits = Limits(memory_bytes=8 * 1024**3, output_bytes=16 * 1024)
    monkeypatch.setattr("workers.steps.encode._limits", lambda work: limits)
    video, _ = through_the_pipeline(film, tmp_path, tools)
    assert (video.state, video.reason_code) == (VideoState.REJECTED, "source_crashes_decoder")


def test_words_in_subtitles_reach_manifests_as_little_as_those_in_titles(
    make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    evil = 'en"\n#EXT-X-ENDLIST\r\n<script>'
    text = tmp_path / "text.srt"
    text.write_text("1\n00:00:00,000 --> 00:00:00,900\n<script>alert(1)</script>\n#EXTM3U\n")
    said = ("-metadata:s:s:0", f"title={evil}", "-metadata:s:s:0", f"language={evil}")
    film = make(*PICTURE, "-i", str(text), "-c:v", "libx264", "-c:s", "srt", *said, "film.mkv")
    video, asset = through_the_pipeline(film, tmp_path, tools)
    assert video.state is VideoState.READY
    assert [row.rendition.name for row in asset.subtitles] == ["text-und"]
    for manifest in (*(tmp_path / "site").rglob("*.m3u8"), tmp_path / "site" / "manifest.mpd"):
        assert "script" not in manifest.read_text()
        assert manifest.read_text().count("#EXT-X-ENDLIST") <= 1
