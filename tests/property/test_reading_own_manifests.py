"""Our parsers undo our renderers: parse(render(x)) = x, for playlists and MPDs."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given

from packager.bit_rates import BitRates
from packager.conformance.mpds import Mpd, duration_seconds, parse_mpd
from packager.conformance.playlists import Entry, Playlist, parse_playlist
from packager.dash.mpd import render_mpd
from packager.hls.media_playlist import MediaPlaylist, MediaSegments, iframe_playlist, media_playlist
from packager.hls.multivariant_playlist import AudioMedia, IFrameVariant, Variant, multivariant_playlist
from packager.presentation import Presentation
from storage.jobs import Segment
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


Said = tuple[BitRates, tuple[str, ...], str, tuple[int, int] | None, str | None]


def variants(found: Playlist) -> list[Said]:
    return [
        (_rates(each), tuple((each.text("CODECS") or "").split(",")), _uri(each), _size(each), each.text("AUDIO"))
        for each in found.variants
    ]


@given(presentations())
def test_multivariant_playlists_are_read_back_as_the_values_they_came_from(presentation: Presentation) -> None:
    value = multivariant_playlist(presentation)
    found = parse_playlist(value.render().encode(), URL + "master.m3u8")
    assert found.complaints == []

    def said(one: Variant) -> Said:
        return (one.bit_rates, one.codecs, one.uri, one.size, one.audio_group)

    assert variants(found) == [said(one) for one in value.variants]
    rates = zip(found.variants, value.variants, strict=True)
    assert all(
        abs((each.number("FRAME-RATE") or 0) - (one.frame_rate or 0)) <= Fraction(1, 2000) for each, one in rates
    )
    assert [
        IFrameVariant(
            bit_rates=_rates(each), codecs=each.text("CODECS") or "", size=_size(each) or (0, 0), uri=_uri(each)
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
        if each_set.kind in ("video", "audio")
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
