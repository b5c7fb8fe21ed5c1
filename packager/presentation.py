"""What is to be played, as one value: HLS and DASH are both rendered from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from packager.encryption import Protection
from storage.jobs import Segment
from storage.keys import hash12, versioned_name


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRendition:
    """A video rendition's contiguous segments from number 0. ``width``/``height`` in square pixels. ``key_inits``: init
    segments that name one key each, in the order of the keys, for players that take a key's id from there; empty: one
    does for all."""

    name: str
    codecs: str
    width: int
    height: int
    frame_rate: Fraction
    timescale: int
    init_name: str
    segments: tuple[Segment, ...]
    key_inits: tuple[str, ...] = ()
    video_range: str = "SDR"  # or PQ or HLG


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioRendition:
    """An audio rendition's contiguous segments from number 0. ``language``: BCP 47. ``key_inits``: as of video.
    ``describes_video``: a voice tells those who cannot see what there is to be seen."""

    name: str
    codecs: str
    language: str
    label: str
    channels: int
    sample_rate_hz: int
    default: bool
    timescale: int
    init_name: str
    segments: tuple[Segment, ...]
    key_inits: tuple[str, ...] = ()
    describes_video: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleRendition:
    """Subtitles: one whole WebVTT file for DASH, ``whole_name``, and its segments for HLS, both below ``name``.

    ``forced``: only what must be read by everybody, such as signs. ``for_deaf``: tells of sounds and speakers too.
    """

    name: str
    language: str
    label: str
    whole_name: str
    whole_size_bytes: int
    timescale: int
    segments: tuple[Segment, ...]
    default: bool = False
    forced: bool = False
    for_deaf: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Storyboard:
    """JPEG sprites: tile names in order, each ``columns`` x ``rows`` thumbnails of ``width`` x ``height``, one every
    ``interval`` seconds, ``count`` thumbnails in all."""

    tiles: tuple[str, ...]
    tile_sizes_bytes: tuple[int, ...]
    columns: int
    rows: int
    width: int
    height: int
    interval: Fraction
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """Everything that is listed. While it grows, all renditions end at the same segment number.

    ``target_duration_s`` is the same for every playlist and never changes while it grows. ``duration``: of the whole
    film where it is known from the start. ``available_from``: DASH availabilityStartTime, fixed per asset.
    """

    video: tuple[VideoRendition, ...]  # lowest first
    audio: tuple[AudioRendition, ...] = ()
    subtitles: tuple[SubtitleRendition, ...] = ()
    captions: tuple[str, ...] = ()  # closed ones inside the pictures: CC1 to CC4, SERVICE1 to SERVICE63
    storyboard: Storyboard | None = None
    protection: Protection | None = None  # of video and audio; None: they are clear
    complete: bool
    target_duration_s: int
    segment_duration: Fraction
    duration: Fraction
    available_from: datetime

    @property
    def renditions(self) -> tuple[VideoRendition | AudioRendition, ...]:
        return (*self.video, *self.audio)

    @property
    def default_audio(self) -> AudioRendition | None:
        """What plays unless the viewer says otherwise: the first that is marked so, else the first."""
        return next((rendition for rendition in self.audio if rendition.default), self.audio[0] if self.audio else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFile:
    """A rendered manifest under its public name (``master.m3u8``, ``720p/media.m3u8``, ``manifest.mpd`` …).
    ``listed_by_version``: others name it by its `versioned_name`, so that is to be public too."""

    name: str
    content_type: str
    body: bytes
    listed_by_version: bool = False

    @property
    def versioned_name(self) -> str:
        """The name that no other body has. It is stored under this one."""
        return versioned_name(self.name, hash12(self.body))
