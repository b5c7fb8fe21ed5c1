"""Every manifest of a presentation, in the order in which they are safe to publish."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from packager.bit_rates import measure_renditions
from packager.dash.mpd import render_mpd
from packager.hls.image_playlist import IMAGE_PLAYLIST_NAME, image_playlist
from packager.hls.media_playlist import iframe_playlist, media_playlist
from packager.hls.multivariant_playlist import multivariant_playlist
from packager.presentation import ManifestFile, Presentation
from packager.storyboard import render_storyboard
from storage.content_types import content_type_of
from storage.media.encryption import Encryption

MULTIVARIANT_NAME = "master.m3u8"
MPD_NAME = "manifest.mpd"
STORYBOARD_NAME = "storyboard.vtt"


def compose(presentation: Presentation, *, published_at: datetime) -> tuple[ManifestFile, ...]:
    """The manifests under their public names. Those that point at others come after them, the two that players open come
    last. ``published_at``: the MPD's publishTime, with a time zone; the same presentation and time give the same bytes."""
    files = [*_media_playlists(presentation)]
    rates = measure_renditions(presentation)
    if presentation.storyboard is not None:
        text = render_storyboard(presentation.storyboard, duration=presentation.duration)
        files.append(_file(STORYBOARD_NAME, text.encode()))
        images = image_playlist(presentation.storyboard, duration=presentation.duration)
        files.append(_file(IMAGE_PLAYLIST_NAME, images.render().encode()))
    files.append(_file(MULTIVARIANT_NAME, multivariant_playlist(presentation, rates=rates).render().encode()))
    if presentation.protection is not None and presentation.protection.encryption is Encryption.AES128:
        return tuple(files)  # whole segments under AES-128 are something that DASH does not know
    files.append(_file(MPD_NAME, render_mpd(presentation, published_at=published_at, rates=rates)))
    return tuple(files)


def _media_playlists(presentation: Presentation) -> Iterator[ManifestFile]:
    for rendition in presentation.renditions:
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


def _file(name: str, body: bytes) -> ManifestFile:
    return ManifestFile(name=name, content_type=content_type_of(name), body=body)
