"""Facts and plans as text for people: what ``fishladder inspect`` and ``fishladder plan`` print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from storage.media.ladder import EncodePlan
from storage.media.languages import language_name
from storage.media.sniffing import CONTAINER_NAMES
from storage.media.source import AudioTrack, FieldOrder, Note, Source, SubtitleTrack, VideoTrack
from workers.planning.policy import decoding_threads
from workers.planning.thumbnails import plan_parts


def describe_source(source: Source) -> str:
    """What was learnt of a file: its container, a line per track, and what is to be noted."""
    container = CONTAINER_NAMES.get(source.demuxer, source.demuxer)
    lines = [
        f"{container}, {_bytes(source.size_bytes)}, {_clock(source.duration)}"
        + (f", starts at {_decimal(source.start)} s" if source.start else ""),
        "",
    ]
    rows = [_video_row(source.video)] if source.video else []
    rows += [_audio_row(track) for track in source.audio]
    rows += [_subtitles_row(track) for track in source.subtitles]
    rows += [
        (f"#{other.index}", other.kind, other.codec, language_name(other.language) if other.language != "und" else "")
        for other in source.others
    ]
    return "\n".join([*lines, *_table(("track", "kind", "codec", "details"), rows), *_notes(source.notes)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """A machine that works on plans: ``slots`` jobs at once, each with ``cores`` for its tool."""

    slots: int
    cores: int


def describe_plan(plan: EncodePlan, notes: tuple[Note, ...] = (), workplace: Workplace | None = None) -> str:
    """What will be made: the ladder, the sound, and how the work is cut; at ``workplace``, with how many threads."""
    ladder = plan.ladder
    rungs = [
        (
            rung.name,
            f"{rung.width}x{rung.height}",
            rung.codec,
            f"CRF {rung.crf}",
            f"≤ {_rate(rung.max_rate_bps)}",
            "first" if rung.name in ladder.fast_start else "",
        )
        for rung in ladder.rungs
    ]
    sound = [
        (
            rendition.name,
            {1: "mono", 2: "stereo"}.get(rendition.channels, "5.1"),
            "aac",
            f"track #{rendition.track_index}",
            _rate(rendition.bit_rate_bps),
            rendition.label + (", default" if rendition.default else ""),
        )
        for rendition in plan.audio
    ]
    texts = [
        (
            rendition.name,
            "",
            "webvtt",
            f"track #{rendition.track_index}",
            "",
            rendition.label + (", default" if rendition.default else "") + (", forced" if rendition.forced else ""),
        )
        for rendition in plan.subtitles
    ]
    frames = f"{plan.total_frames} frames at {_fps(ladder.frame_rate)}" if ladder.rungs else "sound alone"
    gops = f" (2 GOPs of {ladder.gop_frames} frames)" if ladder.rungs else ""
    summary = (
        f"{_clock(plan.duration)}, {frames}, {_count(plan.segment_count, 'segment')} of"
        f" {_decimal(ladder.segment_seconds)} s{gops}, recipe {plan.recipe}"
    )
    table = _table(("rendition", "size", "codec", "quality", "rate", ""), [*rungs, *sound, *texts])
    threads = _threads(plan, workplace) if workplace is not None and plan.chunks else []
    return "\n".join([summary, "", *table, "", *_work(plan), *threads, *_notes(notes)])


def _work(plan: EncodePlan) -> list[str]:
    rate, segment_s = plan.ladder.frame_rate, plan.ladder.segment_seconds
    chunks = [len(chunk.frames) / rate for chunk in plan.chunks]
    lines = [f"{_count(len(chunks), 'chunk')} of video: {_lengths(chunks)}"] if chunks else []
    if len(plan.ladder.fast_start) < len(plan.ladder.rungs):
        early = plan.early_chunks[-1].frames.stop / rate
        lines.append(f"before everything else: {_decimal(early)} s in {' and '.join(plan.ladder.fast_start)}")
    if plan.audio:
        pieces = [
            min(piece.stop_segment * segment_s, plan.duration) - piece.first_segment * segment_s
            for piece in plan.audio_pieces
        ]
        lines.append(f"{_count(len(pieces), 'piece')} of each sound: {_lengths(pieces)}")
    parts = plan_parts(plan.duration)
    if plan.chunks and len(parts) > 1:
        sprites = _count(parts[-1].stop, "sprite")
        lines.append(
            f"{len(parts)} parts of the storyboard's {sprites}, where the source has an index of keyframes (MP4, MOV)"
        )
    return lines


def _threads(plan: EncodePlan, here: Workplace) -> list[str]:
    """An encoder thread a rung, so that a chunk repeats to the byte; and what decodes and scales."""
    sets = {len(plan.ladder.fast_start), len(plan.ladder.rungs)}
    each = [f"{rungs} + {decoding_threads(here.cores, rungs)} for {_count(rungs, 'rung')}" for rungs in sorted(sets)]
    return [f"here: {_count(here.slots, 'job')} at once, threads to encode + decode: {', '.join(each)}"]


def _video_row(video: VideoTrack) -> tuple[str, ...]:
    width, height = video.display_size
    details = [f"{video.width}x{video.height}"]
    if (width, height) != (video.width, video.height):
        details.append(f"shown as {width}x{height}")
    if video.rotation:
        details.append(f"rotated by {video.rotation}°")
    if video.mirrored:
        details.append("mirrored")
    details.append(_fps(video.frame_rate) + ("" if video.steady else " on average, varying"))
    if video.frame_count:
        details.append(f"{video.frame_count} frames")
    if video.bit_depth > 8:
        details.append(f"{video.bit_depth} bit")
    if video.color_transfer:
        details.append(video.color_transfer)
    if video.field_order is FieldOrder.INTERLACED:
        details.append("interlaced")
    if video.bit_rate_bps:
        details.append(_rate(video.bit_rate_bps))
    return f"#{video.index}", "video", video.codec, ", ".join(details)


def _subtitles_row(track: SubtitleTrack) -> tuple[str, ...]:
    details = [] if track.language == "und" else [language_name(track.language)]
    if track.title:
        details.append(f"“{_printable(track.title)}”")
    purposes = (("default", track.default), ("forced", track.forced), ("for the deaf", track.for_deaf))
    details += [purpose for purpose, holds in purposes if holds]
    return f"#{track.index}", "text", track.codec, ", ".join(details)


def _audio_row(track: AudioTrack) -> tuple[str, ...]:
    channels = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(track.channels, f"{track.channels} channels")
    details = [channels, f"{track.sample_rate_hz} Hz"]
    if track.language != "und":
        details.append(language_name(track.language))
    if track.title:
        details.append(f"“{_printable(track.title)}”")
    if track.default:
        details.append("default")
    if track.describes_video:
        details.append("for those who cannot see")
    if track.bit_rate_bps:
        details.append(_rate(track.bit_rate_bps))
    return f"#{track.index}", "audio", track.codec, ", ".join(details)


def _notes(notes: tuple[Note, ...]) -> list[str]:
    return ["", *(f"! {note.sentence} ({note.code})" for note in notes)] if notes else []


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]


def _lengths(seconds: list[Fraction]) -> str:
    """``4, 8, 16, 3 × 60 s``: runs of equal lengths are counted."""
    runs: list[tuple[str, int]] = []
    for length in map(_decimal, seconds):
        if runs and runs[-1][0] == length:
            runs[-1] = (length, runs[-1][1] + 1)
        else:
            runs.append((length, 1))
    return ", ".join(length if count == 1 else f"{count} × {length}" for length, count in runs) + " s"


def _printable(text: str) -> str:
    """A title comes from the file: no control characters reach the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)[:60]


def _clock(seconds: Fraction) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}.{thousandths:03}"


def _decimal(value: Fraction) -> str:
    return f"{float(value):.3f}".rstrip("0").rstrip(".")


def _fps(rate: Fraction) -> str:
    return f"{_decimal(rate)} fps"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _rate(bps: int) -> str:
    return f"{bps / 1_000_000:.3g} Mb/s" if bps >= 1_000_000 else f"{round(bps / 1000)} kb/s"


def _bytes(size: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} bytes"
