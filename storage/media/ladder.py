"""What will be made of a source: rungs, chunks and audio pieces. Values only; the planners are in `workers.planning`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from storage.media.encoders import Encoder
from storage.media.encryption import Encryption
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ, FrameRange, video_timescale


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A target of the ladder. ``name`` is also its rendition's name in keys and URLs."""

    name: str
    width: int
    height: int
    crf: int
    max_rate_bps: int
    codec: str = "h264"
    encoder: Encoder = Encoder.X264  # the same for all of a rendition

    def __post_init__(self) -> None:
        if self.width % 2 or self.height % 2 or self.width < 2 or self.height < 2:
            raise ValueError(f"a 4:2:0 picture has even sides of at least 2, not {self.width}x{self.height}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Rungs from the lowest to the top one, all of one frame rate. Without a picture there are none, and what the time
    line counts in place of frames is named by `sound_ladder`."""

    rungs: tuple[Rung, ...]
    frame_rate: Fraction
    gop_frames: int
    fast_start: tuple[str, ...]  # names of the rungs that are made first
    preset: str = "veryfast"  # of the encoder: how much work it puts into a picture

    def __post_init__(self) -> None:
        names = [rung.name for rung in self.rungs]
        if len(set(names)) != len(names):
            raise ValueError("each rung has a name of its own")
        if not set(self.fast_start) <= set(names) or bool(self.fast_start) != bool(names):
            raise ValueError("fast-start rungs are rungs of the ladder")

    @property
    def segment_frames(self) -> int:
        """Frames of a full segment: two GOPs."""
        return 2 * self.gop_frames

    @property
    def segment_seconds(self) -> Fraction:
        return self.segment_frames / self.frame_rate

    @property
    def timescale(self) -> int:
        return video_timescale(self.frame_rate)[0]

    @property
    def frame_ticks(self) -> int:
        return video_timescale(self.frame_rate)[1]


def sound_ladder(gop_seconds: int) -> Ladder:
    """The ladder of a source without a picture: no rungs, and AAC frames in place of pictures. So segments of sound
    alone last as long as others do, and end exactly where an AAC frame ends."""
    rate = Fraction(AUDIO_RATE_HZ, AAC_FRAME_SAMPLES)
    return Ladder(rungs=(), frame_rate=rate, gop_frames=max(1, round(gop_seconds * rate)), fast_start=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A unit of encoding work: output frames ``frames``, which start at segment ``first_segment``."""

    index: int
    frames: FrameRange
    first_segment: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioPiece:
    """A piece of an audio rendition: AAC frames ``frames``, covering segments ``[first_segment, stop_segment)``."""

    index: int
    frames: FrameRange
    first_segment: int
    stop_segment: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioRendition:
    """An audio rendition to make from source track ``track_index``."""

    name: str
    track_index: int
    language: str
    channels: int
    bit_rate_bps: int
    default: bool
    label: str
    describes_video: bool = False

    @property
    def is_surround(self) -> bool:
        """Whether it has more channels than everybody can hear: it comes beside one that has not."""
        return self.channels > 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleRendition:
    """Subtitles to publish, from source track ``track_index``; None: they were uploaded. ``name`` is also their folder in
    keys and URLs."""

    name: str
    language: str
    label: str
    track_index: int | None = None
    default: bool = False
    forced: bool = False
    for_deaf: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodePlan:
    """Everything that will be made, decided once. ``total_frames`` output frames, always exactly that many; of a source
    without a picture these are AAC frames, and there are no chunks."""

    recipe: str  # version of the rules that made this plan and of the commands that follow it
    ladder: Ladder
    total_frames: int
    chunks: tuple[Chunk, ...]
    audio: tuple[AudioRendition, ...] = ()
    audio_pieces: tuple[AudioPiece, ...] = ()  # the same for every audio rendition
    audio_frames: int = 0
    encryption: Encryption = Encryption.NONE
    subtitles: tuple[SubtitleRendition, ...] = ()
    captions: tuple[str, ...] = ()  # closed ones that go along inside the pictures, by channel

    @property
    def duration(self) -> Fraction:
        return self.total_frames / self.ladder.frame_rate

    @property
    def segment_count(self) -> int:
        return -(-self.total_frames // self.ladder.segment_frames)

    @property
    def early_chunks(self) -> tuple[Chunk, ...]:
        """The first chunks, each made by two jobs: the fast-start rungs before everything else, the other rungs later. So
        whoever watches at once does not come to the end of what there is while the first full chunk is being made."""
        early_frames = EARLY_S * self.ladder.frame_rate
        return tuple(chunk for chunk in self.chunks if chunk.index == 0 or chunk.frames.start < early_frames)


EARLY_S = 12
"""Chunks that begin before this second are early ones."""

RECIPE = "1"
"""Version of the rules that plan and encode. Job rows carry it: workers of this version and the one before run side by
side."""
