"""What is read of a file to know what is in it, and what follows from that for what else has to be read."""

from __future__ import annotations

from dataclasses import dataclass

from storage.media.matroska_index import MatroskaIndex, parse_matroska_index
from storage.media.mp4_index import ByteRange, Mp4Index, parse_mp4_index
from storage.media.sniffing import HEAD_BYTES, sniff
from storage.media.sound_frames import FRAMED
from workers.boxes import box_headers
from workers.fragments import Fragments
from workers.frames import SoundFrames
from workers.planning.reads import Reads, merged, plan_cluster_reads, plan_reads
from workers.sparse import LARGEST_INDEX_BYTES, SparseCopy

READ_ON = frozenset(
    {"matroska", "mpegts", "flv", "mov", "mpeg", "asf", "avi", "mxf", "ogg", "wav", "w64", "aiff", "flac"}
)
"""Demuxers that read from the start on, and look at nothing else but the end; ``mov``: in fragments."""
SOUGHT = frozenset({"mpegts", "mpeg", "asf", "avi", "mxf", "ogg", "flv", "matroska"})
"""Demuxers that find a time by an index (MXF; AVI, ASF, FLV and Matroska where there is one) or by halves: so the file's part
for a time can be found by letting them seek."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Of a file of ``size`` bytes. ``large``: it is worth reading in parts even where no plain index says how.
    ``in_fragments``: it is an MP4 whose index is spread over all of it; ``fragments``: that index, once it was put together.
    ``counted``: it is none, and times have to be counted through. ``frames``: of MP3 or AAC, where they were asked for and
    found. ``unsought``: libavformat finds a time in it by reading all that comes before."""

    size: int
    large: bool
    index: Mp4Index | MatroskaIndex | None
    ranges: tuple[ByteRange, ...]
    demuxer: str | None
    in_fragments: bool = False
    fragments: Fragments | None = None
    counted: bool = False
    frames: SoundFrames | None = None
    unsought: bool = False

    @property
    def whole_index(self) -> Mp4Index | MatroskaIndex | None:
        return self.fragments.index if self.fragments is not None else self.index

    @property
    def streamable(self) -> bool:
        """Whether its sound may be read as a stream."""
        known = self.demuxer not in FRAMED or (self.frames is not None and self.frames.placed)
        return not self.in_fragments and not self.counted and known

    @property
    def seekable(self) -> bool:
        """Whether libavformat may find a time in it without reading all that comes before."""
        return self.demuxer in SOUGHT and not self.unsought

    def tells(self, reads: Reads, end_bytes: int) -> bool:
        """Whether it is known which ranges ``reads`` needs."""
        return self.beginning(reads, end_bytes) is not None or self.planned(reads) is not None

    def beginning(self, reads: Reads, end_bytes: int) -> tuple[ByteRange, ...] | None:
        """Of a file without an index at its start: its beginning and ``end_bytes`` of its end, where ``reads`` knows that they
        will do."""
        known = self.demuxer in READ_ON or self.frames is not None
        if isinstance(self.index, Mp4Index) or not self.large or not known:
            return None
        if reads.first_bytes is None or 2 * reads.first_bytes + end_bytes > self.size:
            return None
        return ((0, reads.first_bytes), (self.size - end_bytes, self.size))

    def planned(self, reads: Reads) -> tuple[ByteRange, ...] | None:
        """Which ranges are fetched for ``reads`` by the file's index; None: all of it is needed, or soon here."""
        # What a file in fragments is, nobody knows from the first ones alone.
        index = self.whole_index if reads.tracks else self.index
        if isinstance(index, Mp4Index):
            return plan_reads(index, reads) if all(track < len(index.tracks) for track in reads.tracks) else None
        if not self.large or self.demuxer not in READ_ON or reads.first_bytes is not None:
            return None
        if index is not None and reads.stop is not None and not reads.keyframes_only:
            return plan_cluster_reads(index, reads)
        return None


def read_header(copy: SparseCopy, size: int, *, large: bool) -> Header:
    """What the file that ``copy`` is a part of, ``size`` bytes long, is. Raises what the store raises."""
    ranges: list[ByteRange] = []
    in_fragments = False

    def read(start: int, stop: int) -> bytes:
        ranges.append((start, stop))
        return copy.read(start, stop)

    index: Mp4Index | MatroskaIndex | None = None
    head = read(0, min(size, HEAD_BYTES))
    demuxer = sniff(head)
    if demuxer == "matroska" and large:
        index = parse_matroska_index(head, size, read)
    elif demuxer == "mov":
        boxes = box_headers(read, size)
        start, stop = boxes.get("moov", (0, 0))
        in_fragments = "moof" in boxes
        if 0 < stop - start <= LARGEST_INDEX_BYTES and not in_fragments:
            index = parse_mp4_index(read(start, stop), size)
        elif not in_fragments:
            demuxer = None  # nobody knows how to read on in this one
    # Of Matroska we read the Cues ourselves; those of FLV are in its first tag.
    unsought = (demuxer == "matroska" and index is None) or (demuxer == "flv" and b"keyframes" not in head)
    return Header(
        size=size,
        large=large,
        index=index,
        ranges=merged(ranges),
        demuxer=demuxer,
        in_fragments=in_fragments,
        unsought=unsought,
    )
