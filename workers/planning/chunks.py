"""The time line cut into units of work. Pure; everything counts output frames and whole segments."""

from __future__ import annotations

from fractions import Fraction

from storage.media.ladder import Chunk, Ladder
from storage.media.time import FrameRange
from workers.planning.policy import ChunkPolicy


def total_frames(duration: Fraction, frame_rate: Fraction) -> int:
    """How many output frames show ``duration`` seconds: at least one, for a film of a single picture too."""
    return max(1, round(duration * frame_rate))


def plan_chunks(total: int, ladder: Ladder, policy: ChunkPolicy) -> tuple[Chunk, ...]:
    """Chunks that tile ``total`` output frames: one segment, then growing ones, then long ones that get shorter towards
    the end, so that workers come to the end together.

    All are whole segments but the last, which takes a last segment of less than half length along: it would not be worth
    starting a tool for. So none is longer than the policy says by more than that, unless a single segment is.
    """
    whole, rest = divmod(total, ladder.segment_frames)
    takes_rest_along = whole > 1 and 0 < 2 * rest < ladder.segment_frames
    longest = max(1, min(_longest(ladder, policy), _affordable(ladder, policy)))
    sizes = _sizes(whole + (1 if rest and not takes_rest_along else 0), longest, ladder, policy)
    if takes_rest_along:
        sizes[-1] += 1
    chunks, first = [], 0
    for index, size in enumerate(sizes):
        frames = FrameRange(first * ladder.segment_frames, min((first + size) * ladder.segment_frames, total))
        chunks.append(Chunk(index=index, frames=frames, first_segment=first))
        first += size
    return tuple(chunks)


def _longest(ladder: Ladder, policy: ChunkPolicy) -> int:
    """Segments that the policy lets a chunk last. Pictures that come seldom are few: half a week of one a second is not
    worth thousands of tools started."""
    return max(int(policy.longest_chunk_s / ladder.segment_seconds), policy.least_long_frames // ladder.segment_frames)


def _affordable(ladder: Ladder, policy: ChunkPolicy) -> int:
    """Segments whose pictures, all rungs together, are as much work as a chunk should be."""
    pixels = sum(rung.width * rung.height for rung in ladder.rungs) * ladder.segment_frames
    return policy.most_chunk_megapixels * 1_000_000 // pixels


def _sizes(segments: int, longest: int, ladder: Ladder, policy: ChunkPolicy) -> list[int]:
    sizes: list[int] = []
    size, left = 1, segments
    shortest = min(longest, max(1, int(policy.last_chunks_s / ladder.segment_seconds)))
    while left:
        size = min(size, longest, max(shortest, left // policy.taper))
        # Once less than one and a half chunks are left, they are shared out evenly: a small last chunk would make one
        # worker start late for little, and a long one would be waited for by all.
        if sizes and 2 * left < 3 * size:
            return sizes + even_parts(left, size)
        sizes.append(size)
        left -= size
        size *= policy.growth
    return sizes


def even_parts(length: int, longest: int) -> list[int]:
    """``length`` in as few parts of at most ``longest`` as possible, as equal as possible, larger ones first."""
    count = -(-length // longest)
    return [length // count + (1 if number < length % count else 0) for number in range(count)]
