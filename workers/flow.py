"""From a plan to jobs: what is done, in which lane, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from storage.jobs import JobKind, Lane, NewJob
from storage.media.ladder import AudioPiece, Chunk, EncodePlan, Rung
from storage.media.time import AAC_FRAME_SAMPLES, AUDIO_RATE_HZ
from workers.planning.thumbnails import plan_parts

# Estimates, for fairness between tenants and for waking the right number of workers; nothing depends on their being
# exact. Measured on 1080p film: x264 veryfast with scaling, decoding included once per chunk.
ENCODE_MS_PER_MEGAPIXEL = 20
DECODE_MS_PER_MEGAPIXEL = 6
AUDIO_MS_PER_SECOND = 30
THUMBNAILS_MS_PER_SECOND = 20
SUBTITLES_MS_PER_SECOND = 1
START_MS = 200  # what starting a tool costs

THUMBNAILS_AFTER_S = Fraction(56)
"""Pictures up to here are worth more to somebody who watches already than a storyboard."""


def plan_jobs(plan: EncodePlan, lane: Lane, *, in_parts: bool = False) -> tuple[NewJob, ...]:
    """All jobs that make ``plan``, except publishing, in the order in which they should be claimed.

    What makes the video playable goes to the ``playable`` lane: the fast-start rungs of the early chunks and the first
    piece of each sound. The rest follows in the video's own ``lane``: chunks and pieces by time, so that what is listed
    grows from the start of the film, and after the first whole chunk the other rungs of the early ones: who watches already
    needs what comes next more than a larger picture of what was. Thumbnails come when there is something to watch, and
    early enough not to be waited for at the end; sound alone has none. ``in_parts``: whether keyframes of the source can be
    found by their time, so that a long film's storyboard can be made in parts (`plan_parts`).
    """
    jobs = [*_fast_start(plan), *_by_time(plan, lane, in_parts=in_parts)]
    return tuple(replace(job, order=order) for order, job in enumerate(jobs))


def _fast_start(plan: EncodePlan) -> list[NewJob]:
    rungs = tuple(rung for rung in plan.ladder.rungs if rung.name in plan.ladder.fast_start)
    pictures = [_encode(plan, chunk, rungs, Lane.PLAYABLE) for chunk in plan.early_chunks]
    return [*pictures[:1], *_audio(plan, plan.audio_pieces[:1], Lane.PLAYABLE, surround=False), *pictures[1:]]


def _by_time(plan: EncodePlan, lane: Lane, *, in_parts: bool) -> list[NewJob]:
    early = plan.early_chunks
    whole = plan.chunks[len(early) :]
    starting: list[tuple[int, list[NewJob]]] = [
        (chunk.first_segment, encode_jobs(plan, chunk, plan.ladder.rungs, lane)) for chunk in whole
    ]
    rest = tuple(rung for rung in plan.ladder.rungs if rung.name not in plan.ladder.fast_start)
    if rest:
        after_first_whole = whole[0].first_segment if whole else 0
        late = [job for chunk in early for job in encode_jobs(plan, chunk, rest, lane)]
        starting.append((after_first_whole, late))
    starting += [(piece.first_segment, _audio(plan, (piece,), lane, surround=False)) for piece in plan.audio_pieces[1:]]
    # Listed once the film is whole: nothing waits for it before.
    starting += [(piece.first_segment, _audio(plan, (piece,), lane, surround=True)) for piece in plan.audio_pieces]
    if plan.chunks:
        starting += _thumbnails(plan, lane, in_parts=in_parts)
    if plan.subtitles:
        # Listed once the film is whole: they may come with its end, and all of the file may have to be read for them.
        starting.append((plan.segment_count // 2, [_subtitles(plan, lane)]))
    starting.sort(key=lambda pair: pair[0])  # stable: of one time, video first
    return [job for _, jobs in starting for job in jobs]


def encode_jobs(plan: EncodePlan, chunk: Chunk, rungs: tuple[Rung, ...], lane: Lane) -> list[NewJob]:
    """One job for all rungs that the CPU makes of ``chunk``, one for all that a graphics card makes."""
    families = dict.fromkeys(rung.encoder.family for rung in rungs)
    return [
        replace(
            _encode(plan, chunk, tuple(rung for rung in rungs if rung.encoder.family is family), lane),
            needs=None if family is None else str(family),
        )
        for family in families
    ]


def _encode(plan: EncodePlan, chunk: Chunk, rungs: tuple[Rung, ...], lane: Lane) -> NewJob:
    megapixels = Fraction(sum(rung.width * rung.height for rung in rungs), 1_000_000)
    top = plan.ladder.rungs[-1]
    decoded = Fraction(top.width * top.height, 1_000_000)
    work = len(chunk.frames) * (megapixels * ENCODE_MS_PER_MEGAPIXEL + decoded * DECODE_MS_PER_MEGAPIXEL)
    payload = {"chunk": chunk.index, "rungs": [rung.name for rung in rungs]}
    return NewJob(kind=JobKind.ENCODE, lane=lane, payload=payload, cost_cpu_ms=START_MS + round(work))


def _audio(plan: EncodePlan, pieces: tuple[AudioPiece, ...], lane: Lane, *, surround: bool) -> list[NewJob]:
    return [
        NewJob(
            kind=JobKind.AUDIO,
            lane=lane,
            payload={"rendition": rendition.name, "piece": piece.index},
            cost_cpu_ms=START_MS + _audio_ms(piece) * rendition.channels // 2,
        )
        for piece in pieces
        for rendition in plan.audio
        if rendition.is_surround is surround
    ]


def _audio_ms(piece: AudioPiece) -> int:
    return len(piece.frames) * AAC_FRAME_SAMPLES * AUDIO_MS_PER_SECOND // AUDIO_RATE_HZ


def _subtitles(plan: EncodePlan, lane: Lane) -> NewJob:
    payload = {"tracks": [rendition.name for rendition in plan.subtitles]}
    work = round(plan.duration * SUBTITLES_MS_PER_SECOND)
    return NewJob(kind=JobKind.SUBTITLES, lane=lane, payload=payload, cost_cpu_ms=START_MS + work)


def _thumbnails(plan: EncodePlan, lane: Lane, *, in_parts: bool) -> Iterator[tuple[int, list[NewJob]]]:
    """Parts follow each other until the middle of the film, so that they do not keep all workers from it at once."""
    parts = plan_parts(plan.duration)
    half = plan.duration / 2
    first_at = min(THUMBNAILS_AFTER_S, half)
    if len(parts) == 1 or not in_parts:
        work = round(plan.duration * THUMBNAILS_MS_PER_SECOND)
        job = NewJob(kind=JobKind.THUMBNAILS, lane=lane, cost_cpu_ms=2 * START_MS + work)
        yield int(first_at / plan.ladder.segment_seconds), [job]
        return
    for number, tiles in enumerate(parts):
        work = round(plan.duration * THUMBNAILS_MS_PER_SECOND * len(tiles) / parts[-1].stop)
        starts = 2 if number == 0 else 1  # the poster comes with the first
        job = NewJob(
            kind=JobKind.THUMBNAILS,
            lane=lane,
            payload={"tiles": [tiles.start, tiles.stop]},
            cost_cpu_ms=starts * START_MS + work,
        )
        at = first_at + (half - first_at) * number / len(parts)
        yield int(at / plan.ladder.segment_seconds), [job]
