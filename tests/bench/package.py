"""``make bench-package``: manifests of a film of 12 hours in 8 renditions: all of them, and again with one segment more.

Prints a table of durations, sizes and memory for growing films. Fails only if cost grows faster than length does.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

from packager.compose import compose, compose_more
from packager.presentation import AudioRendition, ManifestFile, Presentation, VideoRendition
from packager.rendition_lines import RenditionLines
from storage.jobs import IFrame, Segment

HOURS = (1, 3, 12)
SEGMENT_S = 4
LADDER = ((240, 300), (360, 700), (480, 1_200), (720, 2_500), (1080, 4_500), (2160, 14_000))  # lines, kbit/s
PUBLISHED_AT = datetime(2026, 1, 2, tzinfo=UTC)


def _segments(count: int, *, ticks: int, kbps: int, iframes: bool) -> tuple[Segment, ...]:
    made = []
    for number in range(count):
        size = kbps * 125 * SEGMENT_S * (80 + number * 7919 % 41) // 100  # some segments are harder than others
        pictures = (IFrame(offset=24, size=size // 9, duration_ticks=ticks // 2),) * 2 if iframes else ()
        name = f"{number}-{number * 2654435761 % 2**48:012x}.m4s"
        made.append(
            Segment(
                number=number,
                name=name,
                start_ticks=number * ticks,
                duration_ticks=ticks,
                size_bytes=size,
                iframes=pictures,
            )
        )
    return tuple(made)


def presentation(segments: int) -> Presentation:
    """Six rungs and two languages of ``segments`` segments."""
    video = tuple(
        VideoRendition(
            name=f"{height}p",
            codecs="avc1.640028",
            width=height * 16 // 9,
            height=height,
            frame_rate=Fraction(25),
            timescale=12_800,
            init_name="init-0123456789ab.mp4",
            segments=_segments(segments, ticks=SEGMENT_S * 12_800, kbps=kbps, iframes=True),
        )
        for height, kbps in LADDER
    )
    audio = tuple(
        AudioRendition(
            name=f"audio-{language}",
            codecs="mp4a.40.2",
            language=language,
            label=language,
            channels=2,
            sample_rate_hz=48_000,
            default=language == "en",
            timescale=48_000,
            init_name="init-0123456789ab.mp4",
            segments=_segments(segments, ticks=SEGMENT_S * 48_000, kbps=128, iframes=False),
        )
        for language in ("en", "fr")
    )
    return Presentation(
        video=video,
        audio=audio,
        complete=True,
        target_duration_s=SEGMENT_S,
        segment_duration=Fraction(SEGMENT_S),
        duration=Fraction(segments * SEGMENT_S),
        available_from=PUBLISHED_AT,
    )


def cut(whole: Presentation, segments: int) -> Presentation:
    """The first ``segments`` of every rendition, growing."""
    return replace(
        whole,
        video=tuple(replace(one, segments=one.segments[:segments]) for one in whole.video),
        audio=tuple(replace(one, segments=one.segments[:segments]) for one in whole.audio),
        complete=False,
    )


def best_ms(work: Callable[[], object], times: int = 5) -> float:
    """CPU time of this process: what other processes do is not measured."""
    spent = []
    for _ in range(times):
        gc.collect()
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent) * 1000


def rendered(what: Presentation) -> tuple[ManifestFile, ...]:
    return compose(what, published_at=PUBLISHED_AT)


def with_more(what: Presentation, before: Mapping[str, RenditionLines]) -> tuple[ManifestFile, ...]:
    return compose_more(what, published_at=PUBLISHED_AT, before=before).files


def main() -> int:
    print(f"{len(LADDER)} video and 2 audio renditions, segments of {SEGMENT_S} s, CPU time of one core, best of 5")
    print("| film | segments | render all | one segment more | manifests | memory at its peak |")
    print("|---|---|---|---|---|---|")
    costs: dict[int, float] = {}
    for hours in HOURS:
        count = hours * 3600 // SEGMENT_S
        whole = presentation(count)
        shorter, grown = cut(whole, count - 2), cut(whole, count - 1)
        files = rendered(whole)
        costs[hours] = best_ms(lambda what=whole: rendered(what))  # type: ignore[misc] # bound at once
        before = compose_more(shorter, published_at=PUBLISHED_AT).lines
        appended = best_ms(lambda what=grown, lines=before: with_more(what, lines))  # type: ignore[misc]
        assert with_more(grown, before) == rendered(grown)
        tracemalloc.start()
        rendered(whole)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        size = sum(len(file.body) for file in files)
        print(
            f"| {hours} h | {count} | {costs[hours]:.0f} ms | {appended:.0f} ms | {size / 1e6:.1f} MB | {peak / 1e6:.0f} MB |"
        )
    growth = (costs[HOURS[-1]] / costs[HOURS[0]]) / (HOURS[-1] / HOURS[0])
    print(f"\n{HOURS[-1]} h cost {growth:.2f} times what {HOURS[0]} h would by length")
    return 1 if growth > 2 else 0


if __name__ == "__main__":
    sys.exit(main())
