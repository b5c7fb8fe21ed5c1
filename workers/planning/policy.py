"""What we make of a source, as numbers: caps, qualities, chunk sizes, limits. One file to read, and to argue about.

Rates and CRFs are for H.264 at 24–30 frames per second and 16:9; the planners scale them to other shapes and rates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from storage.media.encoders import Family
from storage.media.encryption import Encryption


@dataclass(frozen=True, slots=True, kw_only=True)
class RungRule:
    """A step of the ladder. ``short_side`` in pixels: the height of a landscape picture, the width of a portrait one."""

    short_side: int
    crf: int
    max_rate_bps: int

    @property
    def pixels(self) -> Fraction:
        """Area of this step at 16:9: what its rate is meant for."""
        return Fraction(self.short_side * self.short_side * 16, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderPolicy:
    """Rules of the ladder. The defaults are policy version 1."""

    rules: tuple[RungRule, ...] = (
        RungRule(short_side=240, crf=23, max_rate_bps=300_000),
        RungRule(short_side=360, crf=23, max_rate_bps=700_000),
        RungRule(short_side=480, crf=23, max_rate_bps=1_200_000),
        RungRule(short_side=720, crf=22, max_rate_bps=2_800_000),
        RungRule(short_side=1080, crf=22, max_rate_bps=5_000_000),
        RungRule(short_side=1440, crf=23, max_rate_bps=9_000_000),
        RungRule(short_side=2160, crf=24, max_rate_bps=16_000_000),
    )
    preset: str = "veryfast"  # x264
    hardware: Family | None = None  # what makes the rungs that playback does not start on; None: the CPU
    floor_rate_bps: int = 300_000  # the lowest rung never asks for more: there is one for every network
    fast_rate_factor: Fraction = Fraction(3, 2)  # caps at 50 and 60 frames per second
    fast_frame_rate: Fraction = Fraction(40)  # from here on frames are “fast”
    largest_short_side: int = 2160  # H.264 decoders in devices end here; larger sources are scaled down to it
    # A step closer than this below the source is left out: it would cost an encode and look the same.
    closest_step: Fraction = Fraction(85, 100)
    gop_seconds: int = 2
    fast_start_short_side: int = 480  # what playback starts on besides the lowest rung: the first at least this tall

    def __post_init__(self) -> None:
        sides = [rule.short_side for rule in self.rules]
        if not sides or sides != sorted(set(sides)):
            raise ValueError("the rules of a ladder rise")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPolicy:
    """How the time line is cut into work. The first chunk and piece are small: they make a video playable."""

    longest_chunk_s: int = 60
    least_long_frames: int = 600  # at slower rates than ten pictures a second a chunk may last longer, up to so many
    # All rungs of a chunk together, in millions of pixels: some three minutes of one CPU. Whoever waits for a chunk at the
    # end, or hands one back, waits for or loses no more than that, whatever the size of the picture.
    most_chunk_megapixels: int = 8_000
    growth: int = 2
    taper: int = 4  # no chunk is longer than this part of what is left, so that many workers end together
    last_chunks_s: int = 16  # but none is made shorter than this for that
    first_audio_piece_s: int = 12  # enough for the early chunks of pictures, and little to wait for
    audio_growth: int = 4  # pieces stay ahead of the pictures, which grow too
    audio_piece_s: int = 300

    def __post_init__(self) -> None:
        if (
            self.growth < 1
            or min(self.longest_chunk_s, self.first_audio_piece_s, self.audio_piece_s, self.audio_growth) < 1
        ):
            raise ValueError("chunks grow or stay, and last at least a second")


def decoding_threads(cores: int, rungs: int) -> int:
    """How many threads decode and scale, in a tool that has ``cores`` to itself: every rung has an encoder thread of its
    own, and two of them, a small one and a large one, keep about one core busy."""
    return max(1, cores - (rungs - 1) // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioPolicy:
    """Sound: AAC-LC at 48 kHz, in stereo, and where the source surrounds also as 5.1."""

    stereo_rate_bps: int = 128_000
    mono_rate_bps: int = 80_000
    surround_rate_bps: int = 384_000
    least_surround_channels: int = 5  # fewer say little that stereo does not
    most_renditions: int = 8  # languages


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """What is refused, however well it decodes: files that would take a machine hostage."""

    smallest_side: int = 16
    largest_side: int = 16_384
    most_pixels: int = 8192 * 8192
    most_tracks: int = 100
    longest_s: int = 48 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionPolicy:
    """``default``: of videos whose owners wished for nothing. ``key_period_s``: how long a content key is used, in seconds of
    film; 0: one key for all of it."""

    default: Encryption = Encryption.NONE
    key_period_s: int = 0

    def period_segments(self, segment_seconds: Fraction) -> int:
        """Whole segments of a period; 0: it never ends."""
        return max(1, int(self.key_period_s / segment_seconds)) if self.key_period_s else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything that planning decides by."""

    ladder: LadderPolicy = LadderPolicy()
    chunks: ChunkPolicy = ChunkPolicy()
    audio: AudioPolicy = AudioPolicy()
    limits: SourceLimits = SourceLimits()
    encryption: EncryptionPolicy = EncryptionPolicy()


DEFAULT_POLICY = Policy()
"""What the recipe of this version plans by (`storage.media.ladder.RECIPE`)."""

POLICIES_BEFORE: Mapping[str, Policy] = {}
"""What older recipes plan by, each for as long as jobs of it may be left. Whoever changes a number above that shows in the
bytes raises `RECIPE` and leaves its predecessor here: films that were begun by the version before end by its numbers."""

FAST_POLICY = Policy(
    ladder=LadderPolicy(
        rules=(
            RungRule(short_side=96, crf=28, max_rate_bps=150_000),
            RungRule(short_side=144, crf=28, max_rate_bps=300_000),
        ),
        preset="ultrafast",
        largest_short_side=144,
    )
)
"""Two small rungs, to see soon whether a source goes through; nobody would want to watch them."""
