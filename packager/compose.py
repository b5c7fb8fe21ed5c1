"""Every manifest of a presentation, in the order in which they are safe to publish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from packager.dash.mpd import render_mpd
from packager.hls.image_playlist import IMAGE_PLAYLIST_NAME, image_playlist
from packager.hls.media_playlist import MediaPlaylist, RenderedLines, iframe_playlist, media_playlist
from packager.hls.multivariant_playlist import multivariant_playlist
from packager.presentation import AudioRendition, ManifestFile, Presentation, VideoRendition
from packager.rendition_lines import NO_LINES, RenditionLines, iframe_rates_of, lines_of, rates_of
from packager.storyboard import render_storyboard
from storage.content_types import content_type_of
from storage.media.encryption import Encryption

MULTIVARIANT_NAME = "master.m3u8"
MPD_NAME = "manifest.mpd"
STORYBOARD_NAME = "storyboard.vtt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """Manifests, and the lines of each rendition in them: with these the next ones take as long as what is new."""

    files: tuple[ManifestFile, ...]
    lines: Mapping[str, RenditionLines]


def compose(presentation: Presentation, *, published_at: datetime) -> tuple[ManifestFile, ...]:
    """The manifests under their public names. Those that point at others come after them, the two that players open come
    last. ``published_at``: the MPD's publishTime, with a time zone; the same presentation and time give the same bytes."""
    return compose_more(presentation, published_at=published_at).files


def compose_more(
    presentation: Presentation, *, published_at: datetime, before: Mapping[str, RenditionLines] | None = None
) -> Composed:
    """What `compose` makes, byte for byte. ``before``: the lines of what was composed of this film earlier."""
    lines = {
        rendition.name: lines_of(
            rendition,
            target_duration_s=presentation.target_duration_s,
            before=(before or {}).get(rendition.name, NO_LINES),
        )
        for rendition in presentation.renditions
    }
    return Composed(files=tuple(_files(presentation, published_at, lines)), lines=lines)


def _files(
    presentation: Presentation, published_at: datetime, lines: Mapping[str, RenditionLines]
) -> Iterator[ManifestFile]:
    playlists = [
        # What grows is listed by its one name, because players ask for that again and again.
        replace(playlist, listed_by_version=presentation.complete)
        for playlist in (*_media_playlists(presentation, lines), *_image_playlists(presentation))
    ]
    yield from playlists
    timescales = {rendition.name: rendition.timescale for rendition in presentation.renditions}
    rates = {name: rates_of(lines[name], timescale) for name, timescale in timescales.items()}
    if presentation.storyboard is not None:
        text = render_storyboard(presentation.storyboard, duration=presentation.duration)
        yield _file(STORYBOARD_NAME, text.encode())
    iframe_rates = {video.name: iframe_rates_of(lines[video.name], video.timescale) for video in presentation.video}
    multivariant = multivariant_playlist(presentation, rates=rates, iframe_rates=iframe_rates).pointing_at(
        {playlist.name: playlist.versioned_name for playlist in playlists if playlist.listed_by_version}
    )
    yield _file(MULTIVARIANT_NAME, multivariant.render().encode())
    if presentation.protection is not None and presentation.protection.encryption is Encryption.AES128:
        return  # whole segments under AES-128 are something that DASH does not know
    mpd = render_mpd(presentation, published_at=published_at, rates=rates, iframe_rates=iframe_rates, lines=lines)
    yield _file(MPD_NAME, mpd)


def _media_playlists(presentation: Presentation, lines: Mapping[str, RenditionLines]) -> Iterator[ManifestFile]:
    for rendition in presentation.renditions:
        if presentation.protection is None:
            playlist = _of_lines(rendition, presentation, lines[rendition.name].media)
        else:
            playlist = media_playlist(
                rendition.segments,
                timescale=rendition.timescale,
                init_name=rendition.init_name,
                target_duration_s=presentation.target_duration_s,
                complete=presentation.complete,
                protection=presentation.protection,
                key_inits=rendition.key_inits,
            )
        yield _file(f"{rendition.name}/media.m3u8", playlist.render().encode())
    for subtitles in presentation.subtitles:
        playlist = media_playlist(
            subtitles.segments,
            timescale=subtitles.timescale,
            init_name=None,
            target_duration_s=presentation.target_duration_s,
            complete=presentation.complete,
        )
        yield _file(f"{subtitles.name}/media.m3u8", playlist.render().encode())
    for video in presentation.video:
        if presentation.protection is None:
            iframes = _of_lines(video, presentation, lines[video.name].iframes, iframes_only=True)
        else:
            iframes = iframe_playlist(
                video.segments,
                timescale=video.timescale,
                init_name=video.init_name,
                target_duration_s=presentation.target_duration_s,
                complete=presentation.complete,
                protection=presentation.protection,
                key_inits=video.key_inits,
            )
        yield _file(f"{video.name}/iframes.m3u8", iframes.render().encode())


def _image_playlists(presentation: Presentation) -> Iterator[ManifestFile]:
    if presentation.storyboard is not None:
        images = image_playlist(presentation.storyboard, duration=presentation.duration)
        yield _file(IMAGE_PLAYLIST_NAME, images.render().encode())


def _of_lines(
    rendition: VideoRendition | AudioRendition,
    presentation: Presentation,
    lines: RenderedLines,
    *,
    iframes_only: bool = False,
) -> MediaPlaylist:
    return MediaPlaylist(
        target_duration_s=presentation.target_duration_s,
        init_uri=rendition.init_name,
        segments=lines,
        complete=presentation.complete,
        iframes_only=iframes_only,
    )


def _file(name: str, body: bytes) -> ManifestFile:
    return ManifestFile(name=name, content_type=content_type_of(name), body=body)
