"""Inspection with real tools on clips made here: what is learnt of each, or why it is refused."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from storage.blobs.memory import MemoryBlobs
from storage.catalogue import Video
from storage.errors import DamagedSource, UnsupportedSource
from storage.ids import DEFAULT_TENANT, AssetId, VideoId
from storage.jobs import JobKind, Lane
from storage.lifecycle import VideoState
from storage.media.source import Source
from tests.builders import a_job, an_asset
from workers.ffmpeg.process import Tools, find_tools, run_tool
from workers.planning.encode_plan import plan_encode
from workers.planning.policy import DEFAULT_POLICY
from workers.steps import inspect as inspection
from workers.steps.context import StepContext

pytestmark = pytest.mark.integration

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
AAC = ("-c:a", "aac", "-b:a", "64k")


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.fixture
def make(tools: Tools, tmp_path: Path) -> Callable[..., Path]:
    """Runs ffmpeg with these arguments; the last one is the name of the clip."""
    clips = tmp_path / "clips"
    clips.mkdir()

    def made(*args: str) -> Path:
        run_tool(
            [str(tools.ffmpeg), "-nostdin", "-loglevel", "error", "-y", *args], tools=tools, scratch=clips, reads=()
        )
        return clips / args[-1]

    return made


@pytest.fixture
def look(tools: Tools, tmp_path: Path) -> Callable[[Path], Source]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return lambda path: inspection.inspect_file(path, tools=tools, scratch=scratch)


def picture(seconds: float = 2, rate: str = "25", size: str = "320x180") -> tuple[str, ...]:
    return "-f", "lavfi", "-i", f"testsrc2=duration={seconds}:rate={rate}:size={size}"


def sound(seconds: float = 2, channels: int = 2) -> tuple[str, ...]:
    layout = "stereo" if channels == 2 else "mono"
    return "-f", "lavfi", "-i", f"sine=duration={seconds}:sample_rate=44100,aformat=channel_layouts={layout}"


def test_a_film_with_sound(make: Callable[..., Path], look: Callable[[Path], Source]) -> None:
    source = look(make(*picture(), *sound(), *X264, *AAC, "-metadata:s:a:0", "language=ger", "film.mp4"))
    assert (source.demuxer, source.start, source.duration) == ("mov", 0, 2)
    assert source.video is not None
    assert (source.video.codec, source.video.frame_rate, source.video.frame_count) == ("h264", 25, 50)
    (track,) = source.audio
    assert (track.codec, track.channels, track.sample_rate_hz, track.language, track.start) == (
        "aac", 2, 44_100, "de", 0,
    )  # fmt: skip
    assert source.notes == ()


@pytest.mark.parametrize("name", ["film.mkv", "film.ts", "film.m2ts", "film.flv", "film.mov", "film.avi"])
def test_the_same_film_in_any_container_makes_the_same_plan(
    name: str, make: Callable[..., Path], look: Callable[[Path], Source]
) -> None:
    source = look(make(*picture(3, "30000/1001"), *sound(3), *X264, "-bf", "0", *AAC, name))
    plan = plan_encode(source, DEFAULT_POLICY)
    assert plan.ladder.frame_rate == Fraction(30_000, 1001)
    # Ninety pictures, and what the sound of some containers starts earlier.
    assert plan.total_frames in {90, 91, 92, 93}
    assert [rendition.channels for rendition in plan.audio] == [2]


@pytest.mark.parametrize("name", ["film.webm", "film.ogv", "film.gif", "film.mpg", "film.wmv", "film.mxf"])
def test_containers_with_codecs_of_their_own_are_read(
    name: str, make: Callable[..., Path], look: Callable[[Path], Source]
) -> None:
    source = look(make(*picture(1, size="176x144"), name))
    assert source.video is not None
    assert source.video.display_size == (176, 144)
    assert plan_encode(source, DEFAULT_POLICY).total_frames == 25


@pytest.mark.parametrize(
    ("rotation", "flip", "expected"),
    [
        ("90", (), (270, False)),
        ("-90", (), (90, False)),
        ("180", (), (180, False)),
        ("0", ("-display_hflip",), (180, True)),
    ],
)
def test_rotation_and_flips_are_seen(
    rotation: str,
    flip: tuple[str, ...],
    expected: tuple[int, bool],
    make: Callable[..., Path],
    tools: Tools,
    tmp_path: Path,
    look: Callable[[Path], Source],
) -> None:
    upright = make(*picture(1), *X264, "upright.mp4")
    turned = tmp_path / "scratch" / "turned.mp4"
    argv = [str(tools.ffmpeg), "-nostdin", "-loglevel", "error", "-display_rotation", rotation, *flip]
    argv += ["-i", str(upright), "-c", "copy", str(turned)]
    run_tool(argv, tools=tools, scratch=turned.parent, reads=(upright,))
    video = look(turned).video
    assert video is not None
    assert (video.rotation, video.mirrored) == expected
    assert video.display_size == ((180, 320) if expected[0] % 180 else (320, 180))


def test_a_varying_frame_rate_is_evened_out(make: Callable[..., Path], look: Callable[[Path], Source]) -> None:
    uneven = ("-vf", "select='not(mod(n\\,7))+not(mod(n\\,5))'", "-fps_mode", "vfr")
    video = look(make(*picture(6), *uneven, *X264, "vfr.mp4")).video
    assert video is not None
    assert not video.steady
    assert Fraction(5) < video.frame_rate < Fraction(10)


@pytest.mark.parametrize(
    ("rate", "expected"), [("24000/1001", Fraction(24_000, 1001)), ("60", Fraction(60)), ("12.5", Fraction(25, 2))]
)
@pytest.mark.parametrize("name", ["rate.mp4", "rate.mkv"])  # exact ticks, and milliseconds
def test_frame_rates_are_measured_exactly(
    rate: str, expected: Fraction, name: str, make: Callable[..., Path], look: Callable[[Path], Source]
) -> None:
    plan = plan_encode(look(make(*picture(2, rate), *X264, name)), DEFAULT_POLICY)
    assert plan.ladder.frame_rate == expected
    assert plan.total_frames in {int(2 * expected), int(2 * expected) + 1}


def test_odd_sizes_become_even(make: Callable[..., Path], look: Callable[[Path], Source]) -> None:
    args = ("-vf", "crop=321:181:0:0:exact=1", "-c:v", "libx264", "-pix_fmt", "yuv444p")
    source = look(make(*picture(1, size="322x182"), *args, "odd.mp4"))
    assert source.video is not None
    assert (source.video.width, source.video.height) == (321, 181)
    top = plan_encode(source, DEFAULT_POLICY).ladder.rungs[-1]
    assert (top.width, top.height) == (320, 180)


def test_late_sound_does_not_move_time_zero(make: Callable[..., Path], look: Callable[[Path], Source]) -> None:
    source = look(make(*picture(3), "-itsoffset", "1", *sound(1), *X264, *AAC, "late.mkv"))
    assert source.start == 0
    assert source.duration == 3
    assert abs(source.audio[0].start - 1) < Fraction(1, 20)


def test_a_late_picture_is_counted_from_where_the_sound_starts(
    make: Callable[..., Path], look: Callable[[Path], Source]
) -> None:
    source = look(make("-itsoffset", "1", *picture(2), *sound(3), *X264, *AAC, "late.mkv"))
    assert plan_encode(source, DEFAULT_POLICY).total_frames == 75
    assert [note.code for note in source.notes] == ["picture_starts_late"]


def test_a_silent_film_and_one_of_a_single_picture(make: Callable[..., Path], look: Callable[[Path], Source]) -> None:
    silent = look(make(*picture(1), *X264, "silent.mp4"))
    assert silent.audio == ()
    assert plan_encode(silent, DEFAULT_POLICY).audio_frames == 0
    for name in ("one.mp4", "one.gif", "one.mkv"):
        one = look(make(*picture(1), "-frames:v", "1", name))
        assert plan_encode(one, DEFAULT_POLICY).total_frames >= 1


def test_interlaced_pictures_are_seen(make: Callable[..., Path], look: Callable[[Path], Source]) -> None:
    args = ("-vf", "interlace", "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-q:v", "4")
    source = look(make(*picture(1, "50"), *args, "interlaced.mpg"))
    assert source.video is not None
    assert source.video.field_order == "interlaced"


@pytest.mark.parametrize(
    ("rate", "weave", "flags", "order"),
    [
        pytest.param("50", "interlace", (), "interlaced", id="fields that nothing tells of"),
        pytest.param("25", "null", ("-flags", "+ildct+ilme"), "progressive", id="pictures flagged as fields"),
        pytest.param("24", "telecine", ("-flags", "+ildct+ilme"), "interlaced", id="film made into fields"),
    ],
)
def test_fields_are_measured_not_believed(
    rate: str, weave: str, flags: tuple[str, ...], order: str, make: Callable[..., Path], look: Callable[[Path], Source]
) -> None:
    # A cloud that drifts: fine patterns in motion look like fields themselves.
    cloud = f"nullsrc=size=160x120:rate={rate}:duration=2,geq=lum='128+60*sin((X+4*N*25/{rate})/9)*cos((Y+2*N*25/{rate})/7)'"
    moving = ("-f", "lavfi", "-i", f"{cloud}:cb=128:cr=128,scale=320:480,format=yuv420p")
    source = look(make(*moving, "-vf", weave, "-c:v", "mpeg2video", *flags, "-q:v", "3", "fields.mpg"))
    assert source.video is not None
    assert source.video.field_order == order


def test_a_film_cut_off_behind_its_index_is_kept_as_far_as_it_goes(
    make: Callable[..., Path], look: Callable[[Path], Source]
) -> None:
    film = make(*picture(4, size="640x360"), *X264, "-movflags", "+faststart", "film.mp4")
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    source = look(film)
    assert [note.code for note in source.notes] == ["truncated"]
    assert 0 < source.duration < 4


def test_numbers_hold_for_files_that_are_too_large_to_scan(
    make: Callable[..., Path], look: Callable[[Path], Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("film.mp4", "film.mkv"):
        film = make(*picture(8, "24000/1001"), *sound(9), *X264, *AAC, name)
        scanned = look(film)
        with monkeypatch.context() as patched:
            patched.setattr(inspection, "SCAN_BYTES", 0)
            measured = look(film)
        assert plan_encode(measured, DEFAULT_POLICY) == plan_encode(scanned, DEFAULT_POLICY)


def cut(film: Path) -> Path:
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    return film


REFUSED: dict[str, tuple[Callable[[Callable[..., Path], Path], Path], str]] = {
    "empty": (lambda _, folder: written(folder, b""), "empty"),
    "text renamed": (lambda _, folder: written(folder, b"This is not a video at all.\n" * 50), "not_media"),
    "a list of files to join": (lambda _, folder: written(folder, b"ffconcat version 1.0\nfile x.mov\n"), "not_media"),
    "a playlist": (lambda _, folder: written(folder, b"#EXTM3U\n#EXTINF:4,\nfile:///etc/passwd\n"), "not_media"),
    "truncated": (lambda make, _: cut(make(*picture(), *X264, "film.mp4")), "truncated"),
    "a codec that we do not decode": (lambda make, _: make(*picture(1), "-c:v", "magicyuv", "magic.avi"), "unsupported_codec"),
    "a picture of one pixel": (lambda make, _: make(*picture(1, size="2x2"), *X264, "dot.mp4"), "picture_too_small"),
}  # fmt: skip


def written(folder: Path, content: bytes) -> Path:
    path = folder / "renamed.mp4"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_what_we_cannot_use_is_refused_with_a_reason(
    name: str, make: Callable[..., Path], look: Callable[[Path], Source], tmp_path: Path
) -> None:
    prepare, reason_code = REFUSED[name]
    with pytest.raises(UnsupportedSource) as refused:
        plan_encode(look(prepare(make, tmp_path)), DEFAULT_POLICY)
    assert refused.value.reason_code == reason_code
    assert refused.value.sentence.endswith(".")


SOUND_ALONE: dict[str, tuple[str, ...]] = {
    "m4a": (*sound(2), *AAC, "sound.m4a"),
    "flac": (*sound(2), "sound.flac"),
    "an mp3 with a cover": (
        *sound(2), "-f", "lavfi", "-i", "color=size=64x64:rate=25:duration=0.04", "-map", "0", "-map", "1",
        "-c:v", "png", "-disposition:v", "attached_pic", "sound.mp3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND_ALONE)
def test_sound_alone_is_planned_without_pictures(
    name: str, make: Callable[..., Path], look: Callable[[Path], Source]
) -> None:
    source = look(make(*SOUND_ALONE[name]))
    plan = plan_encode(source, DEFAULT_POLICY)
    assert source.video is None
    assert abs(source.duration - 2) < Fraction(1, 10)
    assert (plan.ladder.rungs, plan.chunks, len(plan.audio), plan.total_frames) == ((), (), 1, plan.audio_frames)


@pytest.mark.parametrize(("tag", "left"), [(rb"mp4a|esds", "audio"), (rb"avc1", "video")])
def test_a_track_of_a_codec_that_nobody_knows_is_left_out(
    tag: bytes, left: str, make: Callable[..., Path], look: Callable[[Path], Source]
) -> None:
    film = make(*picture(1), *sound(1), *X264, *AAC, "film.mp4")
    film.write_bytes(re.sub(tag, b"zzzz", film.read_bytes()))
    if left == "video":
        with pytest.raises(UnsupportedSource) as refused:
            look(film)
        assert refused.value.reason_code == "unsupported_codec"
    else:
        assert [note.code for note in look(film).notes] == ["audio_undecodable"]


def test_noise_behind_good_first_bytes_is_damaged(look: Callable[[Path], Source], tmp_path: Path) -> None:
    with pytest.raises(DamagedSource):
        look(written(tmp_path, b"\x1a\x45\xdf\xa3" + bytes(range(256)) * 200))


def test_a_strange_name_is_just_a_name(
    make: Callable[..., Path], look: Callable[[Path], Source], tmp_path: Path
) -> None:
    film = make(*picture(1), *X264, "film.mp4")
    strange = tmp_path / "te[s]t %d ' _ -i.mp4"
    film.rename(strange)
    assert look(strange).duration == 1


def test_a_relative_path_is_found_from_the_scratch_folder(
    make: Callable[..., Path], look: Callable[[Path], Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make(*picture(1), *X264, "film.mp4")
    film = film.rename(film.with_name("-film.mp4"))
    monkeypatch.chdir(film.parent)
    assert look(Path(film.name)).duration == 1


def test_the_step_hands_over_facts_plan_and_jobs(tools: Tools, make: Callable[..., Path], tmp_path: Path) -> None:
    film = make(*picture(6, size="640x360"), *sound(6), *X264, *AAC, "film.mp4")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    video = Video(
        id=VideoId("v" * 16), tenant=DEFAULT_TENANT, title="Film", state=VideoState.INSPECTING, lane=Lane.BULK,
        asset=AssetId("a-0000000000000000"), upload=None, filename=None, source_key="sources/v", source_bytes=None,
        received_bytes=0, progress=0.0, created_at_ms=0, updated_at_ms=0,
    )  # fmt: skip
    ctx = StepContext(
        job=a_job(kind=JobKind.INSPECT, lane=Lane.PLAYABLE),
        video=video,
        asset=an_asset(),
        blobs=MemoryBlobs(),
        source=lambda: film,
        scratch=scratch,
        tools=tools,
        stop=threading.Event(),
    )
    outcome = inspection.inspect(ctx)
    assert [rung.name for rung in outcome.video_renditions] == ["240p", "360p"]
    assert outcome.plan.total_frames == 150
    assert [(job.kind, job.lane) for job in outcome.jobs] == [
        (JobKind.ENCODE, Lane.PLAYABLE), (JobKind.AUDIO, Lane.PLAYABLE), (JobKind.ENCODE, Lane.PLAYABLE),
        (JobKind.THUMBNAILS, Lane.BULK),
    ]  # fmt: skip
