"""Our parsers undo our renderers: parse(render(x)) = x, for playlists and MPDs."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from packager.bit_rates import BitRates
from packager.compose import compose
from packager.conformance.mpds import Mpd, duration_seconds, parse_mpd
from packager.conformance.playlists import Entry, Playlist, parse_playlist
from packager.dash.mpd import render_mpd
from packager.encryption import Protection
from packager.hls.media_playlist import MediaPlaylist, MediaSegments, iframe_playlist, media_playlist
from packager.hls.multivariant_playlist import AudioMedia, IFrameVariant, Variant, multivariant_playlist
from packager.presentation import Presentation
from storage.jobs import Segment
from storage.media.encryption import Encryption, KeyFacts
from tests.presentations import PUBLISHED_AT
from tests.property.test_manifest_laws import presentations

URL = "https://video.example/film/"


def read_media(text: str) -> MediaPlaylist:
    """The value that a text was rendered from."""
    found = parse_playlist(text.encode(), URL + "media.m3u8")
    assert found.complaints == []
    assert found.target_seconds is not None
    spans = [piece.span for piece in found.pieces if piece.span is not None]
    mapped = found.pieces[0].map
    return MediaPlaylist(
        target_duration_s=found.target_seconds,
        init_uri=mapped[0].removeprefix(URL) if mapped else None,
        segments=MediaSegments(
            uris=tuple(piece.uri for piece in found.pieces),
            durations_us=tuple(int((piece.seconds or 0) * 1_000_000) for piece in found.pieces),
            offsets=tuple(start for start, _ in spans),
            sizes=tuple(stop - start for start, stop in spans),
        ),
        complete=found.ended,
        iframes_only=found.iframes_only,
    )


@given(presentations())
def test_media_playlists_are_read_back_as_the_values_they_came_from(presentation: Presentation) -> None:
    common = {"target_duration_s": presentation.target_duration_s, "complete": presentation.complete}
    for rendition in presentation.renditions:
        about = {"timescale": rendition.timescale, "init_name": rendition.init_name}
        value = media_playlist(rendition.segments, **about, **common)  # type: ignore[arg-type]
        assert read_media(value.render()) == value
    for video in presentation.video:
        about = {"timescale": video.timescale, "init_name": video.init_name}
        value = iframe_playlist(video.segments, **about, **common)  # type: ignore[arg-type]
        assert read_media(value.render()) == value


def _rates(entry: Entry) -> BitRates:
    return BitRates(
        peak_bps=int(entry.number("BANDWIDTH") or 0), average_bps=int(entry.number("AVERAGE-BANDWIDTH") or 0)
    )


def _size(entry: Entry) -> tuple[int, int] | None:
    width, _, height = (entry.text("RESOLUTION") or "").partition("x")
    return (int(width), int(height)) if height else None


def _uri(entry: Entry) -> str:
    return (entry.url or "").removeprefix(URL)


Said = tuple[BitRates, tuple[str, ...], str, tuple[int, int] | None, str | None, Fraction | None, str | None]


def variants(found: Playlist) -> list[Said]:
    return [
        (
            _rates(each),
            tuple((each.text("CODECS") or "").split(",")),
            _uri(each),
            _size(each),
            each.text("AUDIO"),
            each.number("SCORE"),
            each.text("VIDEO-RANGE"),
        )
        for each in found.variants
    ]


@given(presentations())
def test_multivariant_playlists_are_read_back_as_the_values_they_came_from(presentation: Presentation) -> None:
    value = multivariant_playlist(presentation)
    found = parse_playlist(value.render().encode(), URL + "master.m3u8")
    assert found.complaints == []

    def said(one: Variant) -> Said:
        return (one.bit_rates, one.codecs, one.uri, one.size, one.audio_group, one.score, one.video_range)

    assert variants(found) == [said(one) for one in value.variants]
    rates = zip(found.variants, value.variants, strict=True)
    assert all(
        abs((each.number("FRAME-RATE") or 0) - (one.frame_rate or 0)) <= Fraction(1, 2000) for each, one in rates
    )
    assert [
        IFrameVariant(
            bit_rates=_rates(each),
            codecs=each.text("CODECS") or "",
            size=_size(each) or (0, 0),
            uri=_uri(each),
            video_range=each.text("VIDEO-RANGE"),
        )
        for each in found.iframe_variants
    ] == list(value.iframe_variants)
    assert [
        AudioMedia(
            group=each.text("GROUP-ID") or "",
            name=each.text("NAME") or "",
            language=each.text("LANGUAGE") or "",
            default=each.text("DEFAULT") == "YES",
            channels=int(each.text("CHANNELS") or 0),
            uri=_uri(each),
            describes_video="describes-video" in (each.text("CHARACTERISTICS") or ""),
        )
        for each in found.media
    ] == [
        AudioMedia(
            group=one.group,
            name=one.name.replace('"', "'"),
            language=one.language,
            default=one.default,
            channels=one.channels,
            uri=one.uri,
            describes_video=one.describes_video,
        )
        for one in value.audio
    ]


Listed = dict[str, tuple[str, int, str, tuple[tuple[str, int, int], ...]]]


def listed(mpd: Mpd) -> Listed:
    """codecs, timescale, init segment and (URL, start, duration) of every segment, by the representation's id."""
    return {
        representation.id: (
            representation.attributes["codecs"],
            representation.timescale or 0,
            (representation.init or ("", None))[0],
            tuple((each.url, each.start_ticks, each.duration_ticks) for each in representation.references),
        )
        for _, each_set, representation in mpd.representations()
        if each_set.kind in ("video", "audio") and representation.trick_of is None
    }


@given(presentations())
def test_mpds_are_read_back_as_the_values_they_came_from(presentation: Presentation) -> None:
    mpd = parse_mpd(render_mpd(presentation, published_at=PUBLISHED_AT), URL + "manifest.mpd")
    assert mpd.problem is None
    assert mpd.static is presentation.complete

    def said(name: str, segments: tuple[Segment, ...]) -> tuple[tuple[str, int, int], ...]:
        return tuple((f"{URL}{name}/{each.name}", each.start_ticks, each.duration_ticks) for each in segments)

    assert listed(mpd) == {
        one.name: (one.codecs, one.timescale, f"{URL}{one.name}/{one.init_name}", said(one.name, one.segments))
        for one in presentation.renditions
    }
    if presentation.complete:
        stated = duration_seconds(mpd.attributes["mediaPresentationDuration"])
        first = presentation.renditions[0]
        ends = Fraction(first.segments[-1].start_ticks + first.segments[-1].duration_ticks, first.timescale)
        assert stated is not None
        assert abs(stated - ends) <= Fraction(1, 1_000_000)


@given(presentations())
def test_pictures_for_winding_are_read_back_as_the_lowest_rungs(presentation: Presentation) -> None:
    mpd = parse_mpd(render_mpd(presentation, published_at=PUBLISHED_AT), URL + "manifest.mpd")
    pictures = [one for _, _, one in mpd.representations() if one.trick_of is not None]
    if not presentation.complete or not presentation.video:
        assert pictures == []
        return
    (found,) = pictures
    lowest = presentation.video[0]
    assert [(each.url, each.span, each.duration_ticks) for each in found.references] == [
        (f"{URL}{lowest.name}/{segment.name}", (one.offset, one.offset + one.size), one.duration_ticks)
        for segment in lowest.segments
        for one in segment.iframes
    ]
    assert found.trick_of == "0"
    assert found.gaps == ()


ENCRYPTED = st.sampled_from([Encryption.CBCS, Encryption.AES128])


@given(presentations(), ENCRYPTED, st.lists(st.integers(1, 9), max_size=3, unique=True).map(sorted))
def test_keys_are_read_back_for_the_segments_that_they_came_for(
    presentation: Presentation, encryption: Encryption, later: list[int]
) -> None:
    keys = tuple(
        KeyFacts(kid=f"{number:032x}", iv=f"{number + 99:032x}", first_segment=first)
        for number, first in enumerate([0, *later])
    )
    protected = replace(presentation, protection=Protection(encryption=encryption, keys=keys))
    held = [
        max((key for key in keys if key.first_segment <= number), key=lambda key: key.first_segment)
        for number in range(99)
    ]
    texts = {file.name: file.body for file in compose(protected, published_at=PUBLISHED_AT)}
    for rendition in presentation.renditions:
        found = parse_playlist(texts[f"{rendition.name}/media.m3u8"], f"{URL}{rendition.name}/media.m3u8")
        assert found.complaints == []
        for piece, segment in zip(found.pieces, rendition.segments, strict=True):
            key = held[segment.number]
            assert piece.key is not None
            assert (piece.uri, piece.key.url) == (segment.name, f"{URL}keys/{key.kid}")
            assert piece.key.text("METHOD") == ("AES-128" if encryption is Encryption.AES128 else "SAMPLE-AES")
            assert piece.key.text("IV") == (None if encryption is Encryption.AES128 else f"0x{key.iv}")
    multivariant = parse_playlist(texts["master.m3u8"], f"{URL}master.m3u8")
    assert [each.url for each in multivariant.session_keys] == [f"{URL}keys/{key.kid}" for key in keys]
    if encryption is Encryption.CBCS:
        mpd = parse_mpd(texts["manifest.mpd"], URL + "manifest.mpd")
        stated = {
            one.default_kid.replace("-", "")
            for _, each_set, _ in mpd.representations()
            for one in each_set.descriptors
            if one.default_kid is not None
        }
        assert stated == {keys[0].kid}
