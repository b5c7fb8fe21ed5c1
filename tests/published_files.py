"""A small film as a folder of files in memory: real boxes around made-up pictures, and the manifests that we write for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from typing import Any
from urllib.parse import unquote

from packager.cmaf import CutSegment, cut_audio, cut_video
from packager.cmaf.init_segment import with_default_key
from packager.cmaf.protection import key_of
from packager.compose import compose
from packager.conformance.library import Answer, Span
from packager.encryption import Protection, encrypted_whole, iframe_name
from packager.presentation import AudioRendition, Presentation, SubtitleRendition, VideoRendition
from packager.subtitles import parse_webvtt, segment_webvtt
from storage.content_keys import ContentKey
from storage.content_types import content_type_of
from storage.jobs import Segment
from storage.keys import hash12
from storage.media.encryption import DrmSystem, Encryption, KeyFacts
from storage.media.time import FrameRange
from tests.fragmented import fake_audio, fake_video
from tests.presentations import (
    FRAME_TICKS,
    PUBLISHED_AT,
    SEGMENT_FRAMES,
    TIMESCALE,
    a_presentation,
    a_sound_rendition,
    a_video_rendition,
    audio_segments,
    video_segments,
)

BASE = "https://video.example/film/"
FRAMES = 260
WEBVTT = """WEBVTT

STYLE
::cue { color: white }

NOTE not a cue

1
00:00:01.000 --> 00:00:03.000
Hello.

00:03.500 --> 00:05.000 align:start
Over the edge

00:00:07.000 --> 00:00:08.000
To the edge
"""

_VERSION = re.compile(r"-[0-9a-f]{12}\.m3u8")
_STEREO, _SURROUND = b"\x11\x90", b"\x11\xb0"  # AAC-LC at 48 kHz, as its decoder's configuration says

Files = dict[str, bytes]


def _stored(files: Files, rendition: str, segment: CutSegment) -> Segment:
    name = f"{segment.number}-{hash12(segment.data)}.m4s"
    files[f"{rendition}/{name}"] = segment.data
    return Segment(
        number=segment.number,
        name=name,
        start_ticks=segment.start_ticks,
        duration_ticks=segment.duration_ticks,
        size_bytes=len(segment.data),
        iframes=segment.iframes,
    )


def content_keys(systems: tuple[DrmSystem, ...] = ()) -> tuple[ContentKey, ...]:
    """Two, the second from segment 2 on; ``systems``: whose players are told of them."""
    return tuple(
        ContentKey(
            facts=KeyFacts(
                kid=f"{number}" * 32, iv=f"{number + 2:02x}" * 16, first_segment=2 * number - 2, systems=systems
            ),
            key=bytes([number]) * 16,
        )
        for number in (1, 2)
    )


def _video(
    files: Files, name: str, *, padding: int, gop_frames: int, keys: tuple[ContentKey, ...] = ()
) -> VideoRendition:
    cut = cut_video(
        fake_video(range(FRAMES), gop_frames=gop_frames, padding=padding, sliced=bool(keys)),
        timescale=TIMESCALE,
        frame_ticks=FRAME_TICKS,
        first_frame=0,
        expected_frames=FRAMES,
        gop_frames=gop_frames,
        segment_frames=SEGMENT_FRAMES,
        first_segment=0,
        keys=keys,
    )
    inits = _inits(files, name, cut.init, keys)
    segments = tuple(_stored(files, name, segment) for segment in cut.segments)
    codecs = cut.facts.codecs
    return a_video_rendition(
        name, codecs=codecs, init_name=inits[0], segments=segments, key_inits=inits if keys else ()
    )


def _inits(files: Files, name: str, init: bytes, keys: tuple[ContentKey, ...]) -> tuple[str, ...]:
    """The names of the init segment, and of one for every further key."""
    bodies = [init, *(with_default_key(init, key.facts) for key in keys[1:])]
    files.update({f"{name}/init-{hash12(body)}.mp4": body for body in bodies})
    return tuple(f"init-{hash12(body)}.mp4" for body in bodies)


def _audio(
    files: Files,
    name: str,
    language: str,
    label: str,
    *,
    padding: int,
    default: bool,
    keys: tuple[ContentKey, ...] = (),
    channels: int = 2,
    describes_video: bool = False,
) -> AudioRendition:
    planned = audio_segments(video_segments())
    ranges = [FrameRange(one.start_ticks // 1024, (one.start_ticks + one.duration_ticks) // 1024) for one in planned]
    frames = FrameRange(0, ranges[-1].stop)
    cut = cut_audio(
        fake_audio(range(-1, frames.stop + 1), padding=padding),
        skip_frames=1,
        frames=frames,
        segment_ranges=ranges,
        first_segment=0,
        keys=keys,
    )
    init = cut.init.replace(_STEREO, _SURROUND) if channels == 6 else cut.init
    inits = _inits(files, name, init, keys)
    segments = tuple(_stored(files, name, segment) for segment in cut.segments)
    return a_sound_rendition(
        name,
        language=language,
        label=label,
        default=default,
        channels=channels,
        describes_video=describes_video,
        init_name=inits[0],
        segments=segments,
        key_inits=inits if keys else (),
    )


def _subtitles(files: Files, name: str, **changes: Any) -> SubtitleRendition:
    edges = [Fraction(0), Fraction(4), Fraction(8), Fraction(52, 5)]
    files[f"{name}/whole.vtt"] = WEBVTT.encode()
    segments = []
    for number, text in enumerate(segment_webvtt(parse_webvtt(WEBVTT), edges)):
        files[f"{name}/{number}.vtt"] = text.encode()
        ticks = int(edges[number] * 1000), int((edges[number + 1] - edges[number]) * 1000)
        segments.append(
            Segment(
                number=number, name=f"{number}.vtt", start_ticks=ticks[0], duration_ticks=ticks[1], size_bytes=len(text)
            )
        )
    values: dict[str, Any] = {
        "name": name,
        "language": "en",
        "label": "English",
        "whole_name": "whole.vtt",
        "whole_size_bytes": len(WEBVTT),
        "timescale": 1000,
        "segments": tuple(segments),
    }
    return SubtitleRendition(**values | changes)


@cache
def _published(
    gop_frames: int, everything: bool, complete: bool, encryption: Encryption, systems: tuple[DrmSystem, ...]
) -> tuple[tuple[str, bytes], ...]:
    files: Files = {}
    keys = content_keys(systems) if encryption is not Encryption.NONE else ()
    sealed = keys if encryption is Encryption.CBCS else ()
    presentation = a_presentation(
        complete=complete,
        video=(
            _video(files, "low", padding=1_000, gop_frames=gop_frames, keys=sealed),
            _video(files, "high", padding=4_000, gop_frames=gop_frames, keys=sealed),
        ),
        audio=(
            _audio(files, "audio-en", "en", "English", padding=20, default=True, keys=sealed),
            _audio(files, "audio-fr", "fr", "Français", padding=2_000, default=False, keys=sealed),
        ),
        protection=Protection(encryption=encryption, keys=tuple(key.facts for key in keys)) if keys else None,
    )
    files.update({f"keys/{key.facts.kid}": key.key for key in keys})
    if encryption is Encryption.AES128:
        _encrypt_whole(files, presentation, keys)
    if everything:
        more = (
            _audio(files, "audio-en-described", "en", "Told", padding=20, default=False, describes_video=True),
            _audio(files, "audio-en-surround", "en", "English", padding=60, default=False, channels=6),
        )
        presentation = replace(
            presentation,
            audio=(*presentation.audio, *more),
            captions=("CC1", "SERVICE1"),
            subtitles=(
                _subtitles(files, "text-en", label="English (captions)", for_deaf=True),
                _subtitles(files, "text-en-forced", forced=True),
            ),
        )
    assert presentation.storyboard is not None
    for tile in presentation.storyboard.tiles:
        files[tile] = b"\xff\xd8 a picture"
    for file in compose(presentation, published_at=PUBLISHED_AT):
        files[file.name] = file.body
        if file.listed_by_version:
            files[file.versioned_name] = file.body
    return tuple(files.items())


def _encrypt_whole(files: Files, presentation: Presentation, keys: tuple[ContentKey, ...]) -> None:
    """What the origin does with segments on their way out, and with I-frames."""
    for rendition in presentation.renditions:
        count = 0
        for segment in rendition.segments:
            name, key = f"{rendition.name}/{segment.name}", key_of(keys, segment.number)
            clear = files[name]
            files[name] = encrypted_whole(clear, key, segment.number)
            for one in segment.iframes:
                part = iframe_name(name, sequence=count, offset=one.offset, size=one.size)
                files[part] = encrypted_whole(clear[one.offset : one.offset + one.size], key, count)
                count += 1


def published(
    *,
    gop_frames: int = 50,
    everything: bool = False,
    complete: bool = True,
    encryption: Encryption = Encryption.NONE,
    systems: tuple[DrmSystem, ...] = (),
) -> Files:
    """The files of a film of 10.4 s: two rungs of one size, two languages, a storyboard; encrypted with `content_keys`.
    ``everything``: a description of the pictures, surround sound, subtitles and closed captions too."""
    return dict(_published(gop_frames, everything, complete, encryption, systems))


def without_versions(files: Files) -> Files:
    """``files`` with playlists listed by names that do not follow from their text, so that the text may be changed."""
    plain = {name: body for name, body in files.items() if not _VERSION.search(name)}
    return plain | {"master.m3u8": _VERSION.sub(".m3u8", files["master.m3u8"].decode()).encode()}


def named(files: Files, rendition: str, start: str) -> str:
    """The file of ``rendition`` whose name starts with ``start``: ``init``, ``0-`` …"""
    return next(name for name in files if name.startswith(f"{rendition}/{start}"))


def _plain(answer: Answer) -> Answer:
    return answer


@dataclass(kw_only=True)
class MemoryLibrary:
    """Serves ``files`` below `BASE`. ``spoil``: changes an answer on its way, by name."""

    files: Mapping[str, bytes]
    speaks_http: bool = False
    spoil: Mapping[str, Callable[[Answer], Answer]] = field(default_factory=dict)

    def read(self, url: str, span: Span | None = None) -> Answer:
        name = unquote(url.removeprefix(BASE))
        if name not in self.files:
            return Answer(status=404)
        body = self.files[name]
        headers = {}
        if self.speaks_http:
            length = str(len(body if span is None else body[slice(*span)]))
            headers = {"content-type": content_type_of(name), "etag": '"x"', "content-length": length}
            if name.endswith("m3u8"):
                headers["content-encoding"] = "gzip"
        answer = Answer(status=200 if span is None else 206, body=body[slice(*span)] if span else body, headers=headers)
        suffix = "." + name.rpartition(".")[2]
        return self.spoil.get(name, self.spoil.get(suffix, _plain))(answer)


def without_header(name: str) -> Callable[[Answer], Answer]:
    return lambda answer: replace(answer, headers={key: value for key, value in answer.headers.items() if key != name})
