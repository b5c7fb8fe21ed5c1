"""What a manifest says is what the presentation is: read back by parsers that are not ours."""

from __future__ import annotations

from fractions import Fraction

import m3u8
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from packager.compose import compose
from packager.presentation import Presentation, VideoRendition
from storage.jobs import IFrame, Segment
from storage.media.time import COMMON_FRAME_RATES, audio_frames_until, audio_segment_frames, video_timescale
from tests.conformant import mpd_schema
from tests.presentations import PUBLISHED_AT, a_presentation, a_sound_rendition, a_storyboard

DASH = {"d": "urn:mpeg:dash:schema:mpd:2011"}

names = st.text("0123456789abcdef", min_size=12, max_size=12)
labels = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and text.strip() == text)


def _segments(frames: int, gop: int, ticks: int, sizes: list[int]) -> tuple[Segment, ...]:
    segments = []
    for number, start in enumerate(range(0, frames, 2 * gop)):
        count = min(2 * gop, frames - start)
        gops = [min(gop, count - at) for at in range(0, count, gop)]
        size = sizes[number % len(sizes)]
        segments.append(
            Segment(
                number=number,
                name=f"{number}-{size:012x}.m4s",
                start_ticks=start * ticks,
                duration_ticks=count * ticks,
                size_bytes=size,
                iframes=tuple(
                    IFrame(offset=24 + 7 * i, size=size // 9 + 1, duration_ticks=n * ticks) for i, n in enumerate(gops)
                ),
            )
        )
    return tuple(segments)


@st.composite
def presentations(draw: st.DrawFn) -> Presentation:
    rate = draw(st.sampled_from([*COMMON_FRAME_RATES, Fraction(1337, 100), Fraction(1, 2)]))
    timescale, ticks = video_timescale(rate)
    gop = max(1, round(2 * rate))
    frames = draw(st.integers(1, 12 * gop))
    sizes = draw(st.lists(st.integers(100, 10_000_000), min_size=1, max_size=6))
    video = tuple(
        VideoRendition(
            name=f"{height}p",
            codecs="avc1.64001e",
            width=2 * height,
            height=height,
            frame_rate=rate,
            timescale=timescale,
            init_name="init-0123456789ab.mp4",
            segments=_segments(frames, gop, ticks, sizes[index:] or sizes),
        )
        for index, height in enumerate(draw(st.lists(st.sampled_from([144, 360, 720]), unique=True, max_size=3)))
    )
    seconds, total = 2 * gop / rate, audio_frames_until(frames / rate)
    ranges = [
        audio_segment_frames(number, seconds, total)
        for number in range(-(-frames // (2 * gop)))
        if audio_frames_until(number * seconds) < total
    ]
    audio_segments = tuple(
        Segment(
            number=n,
            name=f"{n}-aaaaaaaaaaaa.m4s",
            start_ticks=r.start * 1024,
            duration_ticks=len(r) * 1024,
            size_bytes=len(r) * 300,
        )
        for n, r in enumerate(ranges)
    )
    audio = tuple(
        a_sound_rendition(f"audio-{index}", label=label, segments=audio_segments, default=index == 1)
        for index, label in enumerate(draw(st.lists(labels, max_size=3, min_size=0 if video else 1)))
    )
    return a_presentation(
        video=video,
        audio=audio,
        storyboard=draw(st.sampled_from([None, a_storyboard()])),
        complete=draw(st.booleans()),
        target_duration_s=(seconds + Fraction(1024, 48_000) + Fraction(1, 2)).__floor__(),
        segment_duration=seconds,
        duration=frames / rate,
    )


def rendered(presentation: Presentation) -> dict[str, bytes]:
    return {file.name: file.body for file in compose(presentation, published_at=PUBLISHED_AT)}


def listed_names(presentation: Presentation) -> dict[str, str]:
    """By which name the multivariant playlist lists each file: what will not change, by one that no other has."""
    files = compose(presentation, published_at=PUBLISHED_AT)
    return {file.name: file.versioned_name if presentation.complete else file.name for file in files}


def ticks(seconds: float, timescale: int) -> int:
    return round(Fraction(str(seconds)) * timescale)


@given(presentations())
def test_media_playlists_say_what_the_segments_are(presentation: Presentation) -> None:
    files = rendered(presentation)
    for rendition in presentation.renditions:
        playlist = m3u8.loads(files[f"{rendition.name}/media.m3u8"].decode())
        assert playlist.is_endlist == presentation.complete
        assert playlist.playlist_type == ("vod" if presentation.complete else "event")
        assert playlist.target_duration == presentation.target_duration_s
        assert [segment.uri for segment in playlist.segments] == [segment.name for segment in rendition.segments]
        assert {segment.init_section.uri for segment in playlist.segments} == {rendition.init_name}
        for said, real in zip(playlist.segments, rendition.segments, strict=True):
            assert abs(ticks(said.duration, rendition.timescale) - real.duration_ticks) <= 1
            assert round(said.duration) <= presentation.target_duration_s


@given(presentations())
def test_iframe_playlists_name_every_iframe(presentation: Presentation) -> None:
    files = rendered(presentation)
    for rendition in presentation.video:
        playlist = m3u8.loads(files[f"{rendition.name}/iframes.m3u8"].decode())
        assert playlist.is_i_frames_only
        assert [(entry.uri, entry.byterange) for entry in playlist.segments] == [
            (segment.name, f"{iframe.size}@{iframe.offset}")
            for segment in rendition.segments
            for iframe in segment.iframes
        ]


@given(presentations())
def test_the_multivariant_playlist_lists_every_rendition_once(presentation: Presentation) -> None:
    playlist = m3u8.loads(rendered(presentation)["master.m3u8"].decode())
    listed = [variant.uri for variant in playlist.playlists]
    if presentation.video:
        names = listed_names(presentation)
        assert sorted(listed) == sorted(names[f"{rendition.name}/media.m3u8"] for rendition in presentation.video)
        assert {media.uri for media in playlist.media} == {
            names[f"{each.name}/media.m3u8"] for each in presentation.audio
        }
    assert len({media.name for media in playlist.media}) == len(playlist.media)
    assert sum(media.default == "YES" for media in playlist.media) == (1 if playlist.media else 0)
    for variant in playlist.playlists:
        info = variant.stream_info
        assert info.bandwidth >= info.average_bandwidth > 0
        rendition = next((each for each in presentation.video if variant.uri.startswith(f"{each.name}/")), None)
        if rendition is not None:
            assert info.resolution == (rendition.width, rendition.height)
            assert Fraction(str(info.frame_rate)) == round(rendition.frame_rate, 3)
            assert bool(info.audio) == bool(presentation.audio)
    assert len(playlist.iframe_playlists) == len(presentation.video)


@given(presentations())
def test_the_mpd_lists_the_same_segments_at_the_same_times(presentation: Presentation) -> None:
    root = etree.fromstring(rendered(presentation)["manifest.mpd"])
    assert root.get("type") == ("static" if presentation.complete else "dynamic")
    for rendition in presentation.renditions:
        (said,) = root.xpath(f"//d:Representation[@id='{rendition.name}']", namespaces=DASH)
        (segments,) = said.findall("d:SegmentList", DASH)
        assert segments.get("timescale") == str(rendition.timescale)
        assert [url.get("media") for url in segments.findall("d:SegmentURL", DASH)] == [
            each.name for each in rendition.segments
        ]
        runs = segments.findall("d:SegmentTimeline/d:S", DASH)
        assert [int(run.get("d")) for run in runs] == [each.duration_ticks for each in rendition.segments]
        assert [run.get("t") for run in runs] == ["0", *[None] * (len(runs) - 1)]
        assert said.find("d:BaseURL", DASH).text == f"{rendition.name}/"
        assert said.get("codecs") == rendition.codecs


@given(presentations())
def test_the_mpd_is_valid_by_mpegs_schema(presentation: Presentation) -> None:
    mpd_schema().assertValid(etree.fromstring(rendered(presentation)["manifest.mpd"]))
