"""Cuts what an encoder wrote for one chunk or piece into final segments.

The encoder's muxer is trusted for the coded samples only: timescale, decode times, composition offsets, sequence
numbers, flags and brands are ours, derived from absolute frame numbers. So chunks that were encoded apart join without
a step that joins them, and the same samples give the same bytes however they were split into chunks.

Segment: ``styp``, then per GOP a fragment with the IDR picture alone and one with the rest of the GOP, so that an
I-frame playlist can name exactly one picture by a byte range. Audio: one fragment a segment.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from packager.cmaf.avc_slices import AvcSlices
from packager.cmaf.boxes import Buffer, box, full_box
from packager.cmaf.facts import AudioFacts, VideoFacts, avc_configuration, read_facts
from packager.cmaf.init_segment import TRACK_ID, build_init
from packager.cmaf.protection import ProtectedSamples, Protection, fragment_boxes
from packager.cmaf.samples import NON_SYNC, Sample, read_samples
from storage.content_keys import ContentKey
from storage.errors import WrongOutput
from storage.jobs import IFrame
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ, FrameRange

# sample_depends_on (ISO/IEC 14496-12 section 8.8.3.1): 2 is on no other, 1 is on others.
INDEPENDENT_SYNC = 2 << 24
DEPENDENT_NON_SYNC = 1 << 24 | NON_SYNC

_STYP = box(b"styp", b"msdh", bytes(4), b"msdh", b"cmfs")
_DEFAULT_BASE_IS_MOOF = 0x020000
_NAL_IDR = 5
_BOX_HEADER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CutSegment:
    """A finished segment, ready to be stored under a name made of its number and digest."""

    number: int
    start_ticks: int
    duration_ticks: int
    data: bytes
    iframes: tuple[IFrame, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoCut:
    """A chunk of a video rendition. ``segments`` is made as it is read, one segment in memory at a time."""

    init: bytes
    facts: VideoFacts
    segments: Iterator[CutSegment]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioCut:
    """A piece of an audio rendition. ``segments`` is made as it is read."""

    init: bytes
    facts: AudioFacts
    segments: Iterator[CutSegment]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where samples come from, and how they leave; ``protection`` None: clear."""

    view: memoryview
    protection: Protection | None

    def media(self, samples: Sequence[Sample], segment: int) -> tuple[Sequence[Buffer], ProtectedSamples | None]:
        """The bytes of ``samples`` of segment number ``segment``, and what is to be said of their encryption."""
        clear = [self.view[sample.offset : sample.offset + sample.size] for sample in samples]
        if self.protection is None:
            return clear, None
        protected = self.protection.protect(segment, clear)
        return protected.media, protected


@dataclass(frozen=True, slots=True)
class _Picture:
    """A sample and its place in the presentation, counted in frames from the chunk's first."""

    sample: Sample
    position: int


def cut_video(
    data: Buffer,
    *,
    timescale: int,
    frame_ticks: int,
    first_frame: int,
    expected_frames: int,
    gop_frames: int,
    segment_frames: int,
    first_segment: int,
    keys: Sequence[ContentKey] = (),
) -> VideoCut:
    """Cut the fragmented MP4 of one chunk, whose first picture is output frame ``first_frame`` of the film.

    Frame ``n`` is shown at ``n * frame_ticks`` of ``timescale``. Everything is checked before the first segment is
    made: exactly ``expected_frames`` pictures, an IDR exactly at every ``gop_frames``, no picture that is shown outside
    its GOP, and presentation times on the exact grid. Raises `WrongOutput` otherwise, `ValueError` if the numbers asked
    for contradict each other. ``data`` must stay open until the segments are read. With ``keys``, in the order of their
    segments, the samples come out encrypted (``cbcs``).
    """
    if segment_frames % gop_frames or first_frame != first_segment * segment_frames:
        raise ValueError(f"frame {first_frame} does not start segment {first_segment} of {segment_frames} frames")
    view = memoryview(data)
    facts = read_facts(view)
    if not isinstance(facts, VideoFacts):
        raise WrongOutput("A video track was expected.")
    samples = read_samples(view)
    if len(samples) != expected_frames:
        raise WrongOutput("The chunk has another number of frames.", expected=expected_frames, found=len(samples))
    frame_in_file = (frame_ticks * facts.timescale, timescale)  # ticks per frame in the file, as a ratio
    gops = [samples[at : at + gop_frames] for at in range(0, len(samples), gop_frames)]
    pictures = [
        _checked_gop(view, facts, gop, samples[0].present_ticks, frame_in_file, index * gop_frames)
        for index, gop in enumerate(gops)
    ]
    source = _Source(view, _video_protection(view, facts, keys))
    return VideoCut(
        init=build_init(view, timescale=timescale, keys=[key.facts for key in keys]),
        facts=facts,
        segments=_video_segments(source, pictures, frame_ticks, first_frame, segment_frames // gop_frames, gop_frames),
    )


def cut_audio(
    data: Buffer,
    *,
    skip_frames: int,
    frames: FrameRange,
    segment_ranges: Sequence[FrameRange],
    first_segment: int,
    keys: Sequence[ContentKey] = (),
) -> AudioCut:
    """Cut the fragmented MP4 of one piece of AAC at 48 kHz, one segment for each of ``segment_ranges``.

    ``frames``: the AAC frames of the film that the piece is for. The file's first ``skip_frames`` (the encoder's priming
    frame and the pre-roll) and whatever follows the last wanted one are dropped. Frame ``k`` is decoded at ``1024 * k``.
    Raises `WrongOutput` if frames are missing or of another length, `ValueError` if the ranges do not tile ``frames``.
    ``keys``: as in `cut_video`.
    """
    edges = [(part.start, part.stop) for part in segment_ranges]
    tiles = bool(edges) and all(left[1] == right[0] for left, right in pairwise(edges))
    if not tiles or (edges[0][0], edges[-1][1]) != (frames.start, frames.stop):
        raise ValueError(f"the segments do not tile {frames}")
    view = memoryview(data)
    facts = read_facts(view)
    if not isinstance(facts, AudioFacts) or (facts.sample_rate_hz, facts.timescale) != (AUDIO_RATE_HZ, AUDIO_RATE_HZ):
        raise WrongOutput("Audio at 48 kHz in a timescale of 48000 was expected.", found=str(facts))
    samples = read_samples(view)
    wanted = samples[skip_frames : skip_frames + len(frames)]
    if len(wanted) != len(frames):
        raise WrongOutput("The piece has too few audio frames.", expected=skip_frames + len(frames), found=len(samples))
    for at, sample in enumerate(wanted):
        # A frame's length shows in where the next one starts; the file's last may claim less than it holds.
        if sample.decode_ticks != wanted[0].decode_ticks + at * AAC_FRAME_SAMPLES:
            raise WrongOutput("An audio frame is not 1024 samples long.", frame=frames.start + at)
    return AudioCut(
        init=build_init(view, timescale=AUDIO_RATE_HZ, keys=[key.facts for key in keys]),
        facts=facts,
        segments=_audio_segments(
            _Source(view, Protection(keys) if keys else None), wanted, frames.start, segment_ranges, first_segment
        ),
    )


def _video_protection(view: memoryview, facts: VideoFacts, keys: Sequence[ContentKey]) -> Protection | None:
    if not keys:
        return None
    slices = AvcSlices.of(avc_configuration(view))
    return Protection(keys, slices=slices, length_bytes=facts.nal_length_bytes)


def _checked_gop(
    view: memoryview,
    facts: VideoFacts,
    gop: Sequence[Sample],
    origin_ticks: int,
    frame_in_file: tuple[int, int],
    first_position: int,
) -> list[_Picture]:
    numerator, denominator = frame_in_file
    pictures: list[_Picture] = []
    for at, sample in enumerate(gop):
        if sample.sync != (at == 0):
            raise WrongOutput("A keyframe is not where a GOP starts.", frame=first_position + at, sync=sample.sync)
        position, remainder = divmod((sample.present_ticks - origin_ticks) * denominator, numerator)
        if remainder:
            raise WrongOutput("A picture is not on the frame grid.", ticks=sample.present_ticks - origin_ticks)
        pictures.append(_Picture(sample, position))
    shown = sorted(picture.position for picture in pictures)
    if pictures[0].position != first_position or shown != list(range(first_position, first_position + len(gop))):
        raise WrongOutput("A GOP does not show exactly its own frames.", first_frame=first_position)
    # A sync sample that is not an IDR (a recovery point) would let pictures reach back over the segment's start.
    if _NAL_IDR not in _nal_types(view, gop[0], facts.nal_length_bytes):
        raise WrongOutput("A GOP does not start with an IDR picture.", first_frame=first_position)
    return pictures


def _nal_types(view: memoryview, sample: Sample, length_bytes: int) -> set[int]:
    types: set[int] = set()
    at, stop = sample.offset, sample.offset + sample.size
    while at + length_bytes < stop:
        types.add(view[at + length_bytes] & 0x1F)
        at += length_bytes + int.from_bytes(view[at : at + length_bytes], "big")
    return types


def _video_segments(
    source: _Source,
    gops: Sequence[Sequence[_Picture]],
    frame_ticks: int,
    first_frame: int,
    gops_per_segment: int,
    gop_frames: int,
) -> Iterator[CutSegment]:
    for at in range(0, len(gops), gops_per_segment):
        number = first_frame // (gops_per_segment * gop_frames) + at // gops_per_segment
        start = first_frame + at * gop_frames
        parts: list[Buffer] = [_STYP]
        size = len(_STYP)
        iframes: list[IFrame] = []
        frame = start
        for gop in gops[at : at + gops_per_segment]:
            gop_number = frame // gop_frames
            lone = _fragment(source, gop[:1], 2 * gop_number + 1, frame, frame_ticks, first_frame, number)
            rest = []
            if gop[1:]:
                rest = _fragment(source, gop[1:], 2 * gop_number + 2, frame + 1, frame_ticks, first_frame, number)
            lone_size = sum(map(len, lone))
            iframes.append(IFrame(offset=size, size=lone_size, duration_ticks=len(gop) * frame_ticks))
            size += lone_size + sum(map(len, rest))
            parts += [*lone, *rest]
            frame += len(gop)
        yield CutSegment(
            number=number,
            start_ticks=start * frame_ticks,
            duration_ticks=(frame - start) * frame_ticks,
            data=b"".join(parts),
            iframes=tuple(iframes),
        )


def _fragment(
    source: _Source,
    pictures: Sequence[_Picture],
    sequence: int,
    decode_frame: int,
    frame_ticks: int,
    first_frame: int,
    segment: int,
) -> list[Buffer]:
    """moof and mdat of ``pictures``, the first of which is decoded as frame ``decode_frame`` of the film."""
    offsets = [
        (first_frame + picture.position - decode_frame - index) * frame_ticks for index, picture in enumerate(pictures)
    ]
    samples = [picture.sample for picture in pictures]
    return _moof_and_mdat(
        source,
        samples,
        segment=segment,
        sequence=sequence,
        decode_ticks=decode_frame * frame_ticks,
        duration_ticks=frame_ticks,
        flags=INDEPENDENT_SYNC if samples[0].sync else DEPENDENT_NON_SYNC,
        composition_ticks=offsets if any(offsets) else None,
    )


def _audio_segments(
    source: _Source, wanted: Sequence[Sample], first_frame: int, ranges: Sequence[FrameRange], first_segment: int
) -> Iterator[CutSegment]:
    for number, part in enumerate(ranges, start=first_segment):
        fragment = _moof_and_mdat(
            source,
            wanted[part.start - first_frame : part.stop - first_frame],
            segment=number,
            sequence=number + 1,
            decode_ticks=part.start * AAC_FRAME_SAMPLES,
            duration_ticks=AAC_FRAME_SAMPLES,
            flags=INDEPENDENT_SYNC,
            composition_ticks=None,
        )
        yield CutSegment(
            number=number,
            start_ticks=part.start * AAC_FRAME_SAMPLES,
            duration_ticks=len(part) * AAC_FRAME_SAMPLES,
            data=b"".join([_STYP, *fragment]),
        )


def _moof_and_mdat(
    source: _Source,
    samples: Sequence[Sample],
    *,
    segment: int,
    sequence: int,
    decode_ticks: int,
    duration_ticks: int,
    flags: int,
    composition_ticks: Sequence[int] | None,
) -> list[Buffer]:
    """One fragment. What all its samples share is said once, in the tfhd: ``cmf2`` wants nothing left to the trex."""
    sizes = [sample.size for sample in samples]
    same_size = len(set(sizes)) == 1
    tfhd_flags = _DEFAULT_BASE_IS_MOOF | 0x8 | 0x20 | (0x10 if same_size else 0)
    defaults = [TRACK_ID, duration_ticks, *([sizes[0]] if same_size else []), flags]
    columns: list[Sequence[int]] = [] if same_size else [sizes]
    if composition_ticks is not None:
        columns.append(composition_ticks)
    row = struct.Struct(">" + "I" * (not same_size) + "i" * (composition_ticks is not None))
    rows = b"".join(row.pack(*values) for values in zip(*columns, strict=True))
    trun_flags = 0x1 | (0 if same_size else 0x200) | (0x800 if composition_ticks is not None else 0)
    media, protected = source.media(samples, segment)

    def traf(data_offset: int) -> list[bytes]:
        return [
            full_box(b"tfhd", 0, tfhd_flags, struct.pack(f">{len(defaults)}I", *defaults)),
            full_box(b"tfdt", 1, 0, struct.pack(">Q", decode_ticks)),
            full_box(b"trun", 1, trun_flags, struct.pack(">Ii", len(samples), data_offset), rows),
        ]

    header = full_box(b"mfhd", 0, 0, struct.pack(">I", sequence))
    # Sizes do not depend on the offset: moof, its mfhd, the header of traf, and what is in it.
    until = _BOX_HEADER + len(header) + _BOX_HEADER + sum(map(len, traf(0)))
    own = fragment_boxes(protected, offset=until) if protected is not None else []
    data_offset = until + sum(map(len, own)) + _BOX_HEADER
    moof = box(b"moof", header, box(b"traf", *traf(data_offset), *own))
    return [moof, struct.pack(">I4s", 8 + sum(sizes), b"mdat"), *media]
