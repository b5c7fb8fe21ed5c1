"""From the probe's JSON to facts, or to a refusal."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from storage.errors import DamagedSource, UnsupportedSource
from storage.media.source import FieldOrder
from workers.ffmpeg.probing.boxes import dolby_vision
from workers.ffmpeg.reports import read_report

QUARTER_TURN = [0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30]
MIRROR = [-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30]


def a_walk(pictures: int = 250, interval: int = 512, first: int = 0, **changes: Any) -> dict[str, Any]:
    """Evenly spaced packets; half a second between keyframes of 25 pictures a second."""
    last = first + (pictures - 1) * interval
    values = {
        "packets": pictures, "corrupt": 0, "pictures": pictures, "first": first, "last": last,
        "last_duration": interval, "interval": interval, "near_count": pictures - 1,
        "near_ticks": (pictures - 1) * interval, "longest_interval": interval, "keyframes": 20,
        "first_keyframe": first, "longest_keyframe_interval": 12 * interval,
    }  # fmt: skip
    return values | changes


def a_sample(*times: int, **changes: Any) -> dict[str, Any]:
    times = times or (0, 512, 1024, 1536)
    values = {"frames": len(times), "errors": 0, "times": list(times), "interlaced": 0, "matrix": None}
    return values | changes


def a_picture(**changes: Any) -> dict[str, Any]:
    """Ten seconds of H.264, 1280x720 at 25 pictures a second, in ticks of 1/12,800 s."""
    values = {
        "index": 0, "type": "video", "codec": "h264", "decoder": "h264", "tag": "avc1", "time_base": "1/12800",
        "start": 0, "duration": 128_000, "frames": 250, "language": None, "title": None, "default": True,
        "attached_picture": False, "bit_rate": 2_000_000, "encrypted": False, "width": 1280, "height": 720,
        "sample_aspect": None, "pixel_format": "yuv420p", "bit_depth": 8, "average_rate": "25/1",
        "nominal_rate": "25/1", "field_order": 1, "transfer": 1, "primaries": 1, "space": 1, "range": 1,
        "sample": a_sample(), "scan": a_walk(),
    }  # fmt: skip
    return values | changes


def a_sound(**changes: Any) -> dict[str, Any]:
    values = {
        "index": 1, "type": "audio", "codec": "aac", "decoder": "aac", "tag": "mp4a", "time_base": "1/48000",
        "start": 0, "duration": 480_000, "frames": 469, "language": "eng", "title": None, "default": True,
        "attached_picture": False, "bit_rate": 128_000, "encrypted": False, "sample_rate": 48_000, "channels": 2,
        "describes_video": False, "sample": a_sample(0), "scan": a_walk(469, 1024),
    }  # fmt: skip
    return values | changes


def a_report(*tracks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    values = {
        "demuxer": "mov", "size_bytes": 3_000_000, "tracks": list(tracks), "error": None, "duration_us": 10_000_000,
        "scanned": True, "scan_error": None,
        "boxes": {"names": ["ftyp", "moov", "mdat"], "has_header": True, "overrun": False, "protected": False},
    }  # fmt: skip
    return values | changes


OVERRUN = {"names": ["ftyp", "moov", "mdat"], "has_header": True, "overrun": True, "protected": False}


def unreadable(demuxer: str = "mov", **boxes: Any) -> dict[str, Any]:
    told = {"names": ["ftyp", "moov", "mdat"], "has_header": True, "overrun": False, "protected": False} | boxes
    return a_report(error="InvalidDataError: no", demuxer=demuxer, boxes=told if demuxer == "mov" else None)


def without(track: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in track.items() if name not in names}


@pytest.mark.parametrize(
    ("demuxer", "content", "found"),
    [
        # dv_version 1.0; then profile (7 bits), level (6), three flags, compatibility (4).
        pytest.param("mov", b"dvcC\x01\x00\x0a\x35\x00" + bytes(19), (5, 0), id="profile 5"),
        pytest.param("mov", b"dvvC\x01\x00\x10\x35\x40" + bytes(19), (8, 4), id="profile 8.4: HLG below"),
        pytest.param("mov", b"hvcC\x01\x00\x10\x35\x40", None, id="another record"),
        pytest.param(
            "matroska", b"\x41\xe7\x84dvcC\x41\xed\x98\x01\x00\x0a\x35\x00" + bytes(19), (5, 0), id="in Matroska"
        ),
        pytest.param("mpegts", b"dvcC\x01\x00\x0a\x35\x00", None, id="elsewhere"),
    ],
)
def test_dolby_vision_is_known_by_its_record(
    demuxer: str, content: bytes, found: tuple[int, int] | None, tmp_path: Path
) -> None:
    film = tmp_path / "film"
    moov = (len(content) + 8).to_bytes(4, "big") + b"moov" + content
    film.write_bytes(b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00" + moov if demuxer == "mov" else content)
    told = dolby_vision(film, demuxer)
    assert (told and (told["profile"], told["compatibility"])) == found


def test_dolby_vision_without_a_base_is_taken_where_its_colours_can_be_read() -> None:
    report = a_report(a_picture(codec="hevc", bit_depth=10), dolby_vision={"profile": 5, "compatibility": 0})
    video = read_report(report, reads_own_colours=True).video
    assert video is not None
    assert video.own_colours


def test_dolby_vision_over_a_base_that_others_show_is_taken() -> None:
    hlg = a_picture(codec="hevc", transfer=18)
    source = read_report(a_report(hlg, dolby_vision={"profile": 8, "compatibility": 4}))
    assert source.video is not None
    assert source.video.color_transfer == "arib-std-b67"


def test_a_plain_film_is_read() -> None:
    source = read_report(a_report(a_picture(), a_sound()))
    video = source.video
    assert video is not None
    assert (source.duration, source.start, source.notes, source.others) == (10, 0, (), ())
    assert (video.frame_rate, video.frame_count, video.steady, video.color_transfer) == (25, 250, True, "bt709")
    assert video.keyframe_interval == Fraction(12, 25)
    assert [(track.language, track.start) for track in source.audio] == [("en", 0)]


@pytest.mark.parametrize(
    ("report", "reason_code"),
    [
        pytest.param(unreadable(protected=True), "encrypted", id="protected"),
        pytest.param(unreadable(has_header=False, names=["ftyp", "mdat"]), "truncated", id="no moov"),
        pytest.param(unreadable(has_header=False, names=["styp", "moof", "mdat"]), "no_index", id="bare segment"),
        pytest.param(unreadable(overrun=True), "truncated", id="cut inside its moov"),
        pytest.param(
            a_report(a_picture(codec="hevc"), dolby_vision={"profile": 5, "compatibility": 0}),
            "dolby_vision_without_base",
            id="Dolby Vision that stands alone",
        ),
        pytest.param(a_report(without(a_sound(codec="atrac3"), "sample")), "unsupported_codec", id="sound's codec"),
        pytest.param(a_report(a_sound(encrypted=True)), "encrypted", id="encrypted sound"),
        pytest.param(a_report(), "not_media", id="no tracks"),
        pytest.param(a_report(a_picture(encrypted=True)), "encrypted", id="encrypted track"),
        pytest.param(a_report(without(a_picture(codec="magicyuv"), "sample")), "unsupported_codec", id="codec"),
        pytest.param(
            a_report(without(a_picture(codec=None, decoder=None, tag="xyz1"), "sample")),
            "unsupported_codec",
            id="no decoder",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(report: dict[str, Any], reason_code: str) -> None:
    with pytest.raises(UnsupportedSource) as refused:
        read_report(report)
    assert refused.value.reason_code == reason_code
    assert refused.value.sentence.endswith(".")


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(unreadable(), id="unreadable though complete"),
        pytest.param(unreadable("matroska"), id="unreadable matroska"),
        pytest.param(a_report(a_picture(sample=a_sample(frames=0, times=[], errors=50))), id="nothing decodes"),
        pytest.param(a_report(a_sound(sample=a_sample(frames=0, times=[]))), id="no sound decodes"),
        pytest.param(
            a_report(a_picture(sample=a_sample(frames=0, times=[], errors=50)), a_sound()),
            id="sound, but a broken picture",
        ),
    ],
)
def test_what_is_video_but_does_not_decode_is_damaged(report: dict[str, Any]) -> None:
    with pytest.raises(DamagedSource):
        read_report(report)


@pytest.mark.parametrize(
    ("walk", "nominal", "rate", "steady"),
    [
        pytest.param(a_walk(), "25/1", Fraction(25), True, id="constant"),
        # 29.97 in milliseconds: 33, 33, 34 …
        pytest.param(
            a_walk(300, 427, near_count=299, near_ticks=127_710), "30000/1001", Fraction(30_000, 1001), True, id="rounded"
        ),
        pytest.param(a_walk(), "1000/1", Fraction(25), True, id="the clock's rate claimed"),
        # 250 pictures, then a hole of ten seconds: still 25 a second.
        pytest.param(
            a_walk(near_count=248, near_ticks=248 * 512, last=255_488, longest_interval=128_512),
            "25/1", Fraction(25), True, id="hole",
        ),
        # Ten seconds of pictures around a hole of ten minutes, and some that claim two days.
        pytest.param(
            a_walk(near_count=248, near_ticks=248 * 512, last=610 * 12_800 - 512, longest_interval=600 * 12_800),
            "25/1", Fraction(25), True, id="a hole longer than the film",
        ),
        pytest.param(
            a_walk(near_count=248, near_ticks=248 * 512, last=200_000 * 12_800 - 512, longest_interval=199_990 * 12_800),
            "25/1", Fraction(250, 200_000), False, id="nearly all of it a hole",
        ),
        pytest.param(
            a_walk(100, near_count=50, near_ticks=50 * 512, last=127_488), "60/1", Fraction(10), False, id="varying"
        ),
    ],
)  # fmt: skip
def test_the_cadence_counts_where_there_is_one_and_the_average_otherwise(
    walk: dict[str, Any], nominal: str, rate: Fraction, steady: bool
) -> None:
    video = read_report(a_report(a_picture(scan=walk, nominal_rate=nominal, frames=0))).video
    assert video is not None
    assert (video.frame_rate, video.steady) == (rate, steady)


def test_fields_in_packets_of_their_own_are_half_pictures() -> None:
    sample = a_sample(0, 512, 1024, 1536, interlaced=4)
    video = read_report(a_report(a_picture(scan=a_walk(500, 256), sample=sample, frames=0, field_order=2))).video
    assert video is not None
    assert (video.frame_rate, video.frame_count, video.field_order) == (25, 250, FieldOrder.INTERLACED)


@pytest.mark.parametrize(
    ("fields", "flagged", "order"),
    [
        pytest.param({"tff": 40, "progressive": 2}, 0, FieldOrder.INTERLACED, id="seen though not flagged"),
        pytest.param({"progressive": 40, "bff": 1}, 4, FieldOrder.PROGRESSIVE, id="flagged but not seen"),
        pytest.param({"tff": 24, "progressive": 36}, 4, FieldOrder.INTERLACED, id="two pictures in five"),
        pytest.param({"tff": 48, "progressive": 12}, 0, FieldOrder.PROGRESSIVE, id="patterns that look like fields"),
        pytest.param({"undetermined": 60, "tff": 3}, 4, FieldOrder.INTERLACED, id="too little to see, so flags count"),
        pytest.param({"undetermined": 60}, 0, FieldOrder.PROGRESSIVE, id="nothing to see"),
    ],
)
def test_fields_that_are_seen_count_more_than_flags(fields: dict[str, int], flagged: int, order: FieldOrder) -> None:
    video = read_report(a_report(a_picture(sample=a_sample(interlaced=flagged), fields=fields))).video
    assert video is not None
    assert video.field_order is order


@pytest.mark.parametrize(
    ("matrix", "rotation", "mirrored", "size"),
    [(None, 0, False, (1280, 720)), (QUARTER_TURN, 90, False, (720, 1280)), (MIRROR, 180, True, (1280, 720))],
)
def test_the_display_matrix_turns_the_picture(
    matrix: list[int] | None, rotation: int, mirrored: bool, size: tuple[int, int]
) -> None:
    video = read_report(a_report(a_picture(sample=a_sample(matrix=matrix)))).video
    assert video is not None
    assert (video.rotation, video.mirrored, video.display_size) == (rotation, mirrored, size)


def test_time_zero_is_the_earlier_start_and_both_end_with_the_video() -> None:
    late_picture = a_picture(scan=a_walk(first=25_600), sample=a_sample(25_600, 26_112))
    source = read_report(a_report(late_picture, a_sound(sample=a_sample(24_000))))
    assert (source.start, source.duration) == (Fraction(1, 2), Fraction(23, 2))
    assert [note.code for note in source.notes] == ["picture_starts_late"]

    late_sound = read_report(a_report(a_picture(), a_sound(sample=a_sample(96_000))))
    assert (late_sound.start, late_sound.duration, late_sound.notes) == (0, 10, ())


@pytest.mark.parametrize("cover", [(), (a_picture(index=0, attached_picture=True),)], ids=["bare", "with a cover"])
def test_sound_alone_lasts_from_its_first_sample_to_its_last(cover: tuple[dict[str, Any], ...]) -> None:
    early, late = a_sound(sample=a_sample(4_800)), a_sound(index=2, language="fra", sample=a_sample(9_600))
    source = read_report(a_report(*cover, early, late))
    assert source.video is None
    assert (source.start, source.duration) == (Fraction(1, 10), Fraction(469 * 1024 - 4_800, 48_000))
    assert [track.language for track in source.audio] == ["en", "fr"]
    assert [other.kind for other in source.others] == ["cover"] * len(cover)


def test_sound_too_large_to_scan_lasts_as_its_container_says() -> None:
    unscanned = without(a_sound(duration=None), "scan")
    assert read_report(a_report(unscanned, duration_us=3_600_000_000)).duration == 3600


@pytest.mark.parametrize(
    ("scan", "duration", "codes"),
    [
        pytest.param(a_walk(9375, 1024), 200, ["picture_ends_early"], id="goes on"),
        pytest.param(a_walk(492, 1024), 10, [], id="fills up its last packets"),
        pytest.param(a_walk(9375, 1024, longest_interval=48_000 * 90), 10, [], id="times that leap"),
        pytest.param(a_walk(9375, 1024, first=48_000 * 30), 10, [], id="begins long after the picture"),
        pytest.param(a_walk(469, 1024, last_duration=48_000 * 90_000), 10, [], id="a last packet of a day"),
    ],
)
def test_a_film_lasts_as_long_as_there_is_more_to_be_heard(
    scan: dict[str, Any], duration: int, codes: list[str]
) -> None:
    source = read_report(a_report(a_picture(), a_sound(scan=scan, sample=a_sample(scan["first"]))))
    assert source.video is not None
    assert (source.duration, source.video.duration) == (duration, 10)
    assert [note.code for note in source.notes] == codes


def test_sound_with_a_clock_of_its_own_does_not_stretch_the_film() -> None:
    far = a_picture(scan=a_walk(first=12_800 * 90_000), sample=a_sample(12_800 * 90_000))
    assert read_report(a_report(far, a_sound())).duration == 10


def test_pictures_before_the_first_that_decodes_are_lost() -> None:
    source = read_report(a_report(a_picture(sample=a_sample(25_600, 26_112)), a_sound()))
    assert source.video is not None
    assert (source.start, source.video.start, source.duration) == (0, 2, 10)
    assert [note.code for note in source.notes] == ["starts_mid_stream"]


def test_pictures_of_avi_that_are_decoded_out_of_their_order_are_late_and_all_there() -> None:
    late = a_sample(1024, 1536, by_decoding=True)
    source = read_report(a_report(a_picture(sample=late), demuxer="avi"))
    assert source.video is not None
    assert (source.video.start, source.video.duration, source.notes) == (Fraction(2, 25), 10, ())
    lost = a_sample(25_600, 26_112, by_decoding=True)
    source = read_report(a_report(a_picture(sample=lost), demuxer="avi"))
    assert [note.code for note in source.notes] == ["starts_mid_stream"]


def test_a_last_picture_that_seems_to_flash_by_lasts_like_the_others() -> None:
    assert read_report(a_report(a_picture(scan=a_walk(last_duration=1)))).duration == 10


def test_a_single_picture_lasts_as_its_container_says_or_a_frame() -> None:
    alone = a_walk(1, 0, last_duration=0, longest_keyframe_interval=0, near_count=0, near_ticks=0)
    assert read_report(a_report(a_picture(scan=alone, sample=a_sample(0), frames=1))).duration == Fraction(1, 25)
    held = alone | {"last_duration": 25_600}
    assert read_report(a_report(a_picture(scan=held, sample=a_sample(0), frames=1))).duration == 2


def test_a_file_that_is_too_large_to_scan_is_measured_at_both_ends() -> None:
    head, tail = a_walk(40), a_walk(40, first=12_800 * 3600 - 40 * 512)
    large = without(a_picture(head=head, tail=tail, frames=90_000, duration=12_800 * 3600), "scan")
    source = read_report(a_report(large, scanned=False))
    assert source.video is not None
    assert (source.duration, source.video.frame_rate, source.video.frame_count) == (3600, 25, 90_000)


def test_a_large_file_that_slows_down_after_its_start_has_the_average_of_its_index() -> None:
    large = without(a_picture(head=a_walk(40), tail=a_walk(1, first=12_800 * 3600 - 512), frames=36_000), "scan")
    video = read_report(a_report(large, scanned=False)).video
    assert video is not None
    assert (video.frame_rate, video.steady) == (10, False)


@pytest.mark.parametrize(
    ("report", "codes"),
    [
        pytest.param(a_report(a_picture(frames=300), boxes=OVERRUN), ["truncated"], id="mov that ends early"),
        pytest.param(a_report(a_picture(frames=0), boxes=OVERRUN), ["truncated"], id="its last fragment is cut off"),
        pytest.param(a_report(a_picture(frames=300)), [], id="mov whose edit list leaves pictures out"),
        pytest.param(a_report(a_picture(), boxes=OVERRUN), [], id="mov that says more than it has to"),
        pytest.param(a_report(a_picture(frames=0), demuxer="matroska", duration_us=60_000_000), ["truncated"], id="mkv"),
        pytest.param(a_report(a_picture(), scan_error="InvalidDataError: x"), ["damaged_packets"], id="unreadable end"),
        pytest.param(a_report(a_picture(scan=a_walk(corrupt=3))), ["damaged_packets"], id="corrupt packets"),
        pytest.param(
            a_report(a_picture(), a_sound(sample=a_sample(frames=0))), ["audio_undecodable"], id="mute"
        ),
        pytest.param(a_report(a_picture(), a_picture(index=1, width=320)), ["extra_video"], id="two pictures"),
        pytest.param(
            a_report(a_picture(), {"index": 1, "type": "subtitle", "codec": "hdmv_pgs_subtitle", "tag": None, "language": "ger",
                                   "attached_picture": False}),
            ["subtitles_left_out"], id="subtitles that are pictures",
        ),
    ],
)  # fmt: skip
def test_what_is_lost_is_noted(report: dict[str, Any], codes: list[str]) -> None:
    assert [note.code for note in read_report(report).notes] == codes


def test_of_several_pictures_the_default_one_counts_then_the_largest() -> None:
    small, large = a_picture(index=0, width=320, height=180), a_picture(index=1)
    chosen = [
        read_report(a_report(*pair)).video
        for pair in ((small, large), (small, large | {"default": False}), (small | {"default": False}, large))
    ]
    assert [video and video.index for video in chosen] == [1, 0, 1]


def test_a_picture_that_does_not_decode_gives_way_to_one_that_does() -> None:
    source = read_report(a_report(a_picture(sample=a_sample(frames=0)), a_picture(index=1, width=320, default=False)))
    assert source.video is not None
    assert source.video.index == 1
    assert [(other.kind, other.index) for other in source.others] == [("video", 0)]
