"""What we learnt of an uploaded file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


class FieldOrder(StrEnum):
    PROGRESSIVE = "progressive"
    INTERLACED = "interlaced"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoTrack:
    """One video track. Sizes in pixels as coded; ``rotation`` in degrees clockwise to apply for display."""

    index: int
    codec: str
    width: int
    height: int
    sample_aspect: Fraction = Fraction(1)
    rotation: int = 0
    frame_rate: Fraction  # measured average, frames per second
    nominal_frame_rate: Fraction | None = None  # what the container says
    frame_count: int | None = None  # where the container or a scan knows
    start: Fraction = Fraction(0)  # seconds, on the source's own clock
    duration: Fraction | None = None
    pixel_format: str = "yuv420p"
    bit_depth: int = 8
    color_transfer: str | None = None
    color_primaries: str | None = None
    color_space: str | None = None
    color_range: str | None = None
    field_order: FieldOrder = FieldOrder.UNKNOWN
    bit_rate_bps: int | None = None
    mirrored: bool = False  # the display matrix flips as well as rotates
    steady: bool = True  # nine in ten pictures follow each other at ``frame_rate``
    untimed: bool = False  # some pictures have no time of their own, and are shown one after the other
    keyframe_interval: Fraction | None = None  # the longest distance between keyframes, in seconds
    captions: tuple[str, ...] = ()  # closed ones inside the pictures: CC1 to CC4 (CEA-608), SERVICE1 … (CEA-708)
    own_colours: bool = False  # Dolby Vision of profile 5: without its metadata the colours are wrong

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height in square pixels, upright."""
        width = round(self.width * self.sample_aspect) if self.sample_aspect > 0 else self.width
        return (self.height, width) if self.rotation % 180 else (width, self.height)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioTrack:
    """One audio track. ``language``: BCP 47, ``und`` where unknown. ``describes_video``: a voice tells those who cannot see
    what there is to be seen."""

    index: int
    codec: str
    sample_rate_hz: int
    channels: int
    language: str = "und"
    title: str | None = None
    default: bool = False
    start: Fraction = Fraction(0)
    duration: Fraction | None = None
    bit_rate_bps: int | None = None
    describes_video: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleTrack:
    """One track of subtitles that are text. ``forced``: only what must be read by everybody, such as signs. ``for_deaf``:
    tells of sounds and speakers too."""

    index: int
    codec: str
    language: str = "und"
    title: str | None = None
    default: bool = False
    forced: bool = False
    for_deaf: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherTrack:
    """A track we do not encode (subtitles that are pictures, data, cover art), kept to be reported."""

    index: int
    kind: str
    codec: str
    language: str = "und"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that was normalised or lost: a stable code and a sentence for the creator."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Facts of a file, as a value. ``demuxer``: the ffmpeg demuxer pinned by the magic bytes."""

    demuxer: str
    size_bytes: int
    duration: Fraction  # seconds from the earlier track's start to the video's end, or to that of the last sound
    start: Fraction  # seconds: the earlier track's start on the source's clock; our time zero
    video: VideoTrack | None
    audio: tuple[AudioTrack, ...] = ()
    others: tuple[OtherTrack, ...] = ()
    notes: tuple[Note, ...] = ()
    subtitles: tuple[SubtitleTrack, ...] = ()
    early_bytes: int | None = None
    """Of a file without an index, of which only the beginning was looked at: how much of it holds what plays first."""
