"""How many frames a file of MP3 or AAC has, and where they begin: they tell no time, so the time of one is how many come before
it. Where all have one length, that follows from the place; else a tag may tell how many they are, but not where. Else all of the file
is read once, and nothing of it kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from math import ceil
from pathlib import Path

from storage.media.sound_frames import (
    LARGEST_FRAME_BYTES,
    SMALLEST_REST_BYTES,
    FrameKind,
    LengthTag,
    kbps_of,
    kind_of,
    length_tag,
    sizes_like,
    sizes_of_one_rate,
    tag_bytes_before,
    tag_bytes_behind,
)
from workers.sparse import SparseCopy

EVERY = 64
"""The place of every so many frames is written down: the others are some steps from there."""
MOST_TAGS = 8
TAIL_BYTES = 64 * 1024
FEWEST_AT_END = 4
"""So many frames up to the end of the file show that nothing else stands there."""
PLACES = 64
"""At so many places a file has to go on as it began to be believed that it does in between: had a single frame another length,
all that follow would begin elsewhere."""
NEAR_BYTES = 8
"""So far from its even place a frame may begin: writers round, and files that were joined rounded more than once."""
CHAIN = 4
"""So many frames in a row are frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFrames:
    """``count`` frames of ``samples`` each, ``rate_hz`` of them a second, in a file of ``size`` bytes, from
    ``first`` to ``stop``. ``places``: where every `EVERY`th begins. ``header``: they are all as long as the first one, that begins so, give or take the byte of padding. Neither: only the count was told. ``heard``: samples that are sound; what comes behind them is the encoder's padding."""

    demuxer: str
    size: int
    count: int
    samples: int
    rate_hz: int
    heard: int
    first: int
    stop: int
    header: int | None = None
    places: tuple[int, ...] = ()

    @property
    def placed(self) -> bool:
        """Whether it is known where each begins."""
        return bool(self.places) or self.header is not None

    @property
    def frame_s(self) -> Fraction:
        """How long a frame is heard."""
        return Fraction(self.samples, self.rate_hz)

    def place(self, number: int, read: Callable[[int, int], bytes]) -> int:
        """Where frame ``number`` begins; behind the last one: where the file ends. Raises `ValueError` where ``read(start, stop)``
        gives another file than the one that was counted."""
        if number >= self.count:
            return self.size
        if self.header is not None:
            return Steps(self.first, self.header.to_bytes(4, "big")).place(number, self.stop, read)
        at, stop = [*self.places[number // EVERY :][:2], self.size][:2]
        steps, into = number % EVERY, 0
        data = read(at, min(self.size, stop + LARGEST_FRAME_BYTES))
        sizes = sizes_like(self.demuxer, data)
        for _ in range(steps):
            length = sizes(data, into)
            if not length:
                raise ValueError("this is not the file that was counted")
            into += length
        return at + into


class Steps:
    """Where frames of one length begin: the first, which starts with ``header``, at ``first``."""

    def __init__(self, first: int, header: bytes) -> None:
        kind = kind_of("mp3", header)
        assert kind is not None
        self._first, self._sizes = first, sizes_of_one_rate(header)
        self.bytes = Fraction(kind.samples * kbps_of(header) * 1000, 8 * kind.rate_hz)
        """How long a frame is on average; some have a byte more."""

    def near(self, number: int) -> tuple[int, int]:
        """The bytes that have to be read to see where frame ``number`` begins."""
        place = self._first + round(number * self.bytes)
        return max(self._first, place - NEAR_BYTES), place + NEAR_BYTES + ceil((CHAIN + 1) * self.bytes)

    def place(self, number: int, end: int, read: Callable[[int, int], bytes]) -> int:
        """Where frame ``number`` begins, of those before ``end``. Raises `ValueError` where it is not where it has to be."""
        start, stop = self.near(number)
        data = read(start, min(end, stop))
        expected = self._first + round(number * self.bytes) - start
        for into in sorted(range(expected + NEAR_BYTES + 1), key=lambda into: abs(into - expected)):
            if self._follow(data, into):
                return start + into
        raise ValueError("a frame is not where all others are")

    def _follow(self, data: bytes, at: int) -> bool:
        for _ in range(CHAIN):
            if at + SMALLEST_REST_BYTES > len(data):
                return at == len(data)
            length = self._sizes(data, at)
            if not length:
                return False
            at += length
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    """What stands before the first frame, at ``first``, and behind the last, from ``stop`` on. ``tag`` is a frame at
    ``tag_at``."""

    kind: FrameKind
    first: int
    stop: int
    tag: LengthTag | None
    tag_at: int
    sizes: Callable[[bytes, int], int]


def told_frames(copy: SparseCopy, size: int, demuxer: str) -> SoundFrames | None:
    """What a tag at the beginning of the file tells; None where there is none, or the file is not as long as it says or
    ends with something else. Raises what the store raises."""
    opening = _opening(copy, size, demuxer)
    if opening is None or opening.tag is None or not opening.tag.frames:
        return None
    if opening.tag.size_bytes not in (opening.stop - opening.tag_at, opening.stop - opening.first):
        return None
    if not _ends_in_frames(copy.read(max(opening.first, opening.stop - TAIL_BYTES), opening.stop), opening.sizes):
        return None
    return _found(opening, size, demuxer, opening.tag.frames)


def steady_frames(copy: SparseCopy, size: int, demuxer: str) -> SoundFrames | None:
    """Of a file of one bit rate: seen at `PLACES` all over it, and at its end. None where it is not one, or its tag says
    otherwise. Raises what the store raises."""
    opening = _opening(copy, size, demuxer) if demuxer == "mp3" else None
    if opening is None:
        return None
    header = copy.read(opening.first, min(size, opening.first + 4))
    if kind_of(demuxer, header) is None:
        return None
    steps = Steps(opening.first, header)
    length = opening.stop - opening.first
    count = round(length / steps.bytes)
    if abs(length - count * steps.bytes) > NEAR_BYTES or count <= PLACES * CHAIN:
        return None
    if opening.tag is not None and opening.tag.frames not in (0, count):
        return None
    last = count - CHAIN
    numbers = [last * number // PLACES for number in range(PLACES + 1)]
    copy.ensure(*(steps.near(number) for number in numbers))
    try:
        for number in numbers:
            steps.place(number, opening.stop, copy.read)
    except ValueError:
        return None
    if not _ends_in_frames(
        copy.read(max(opening.first, opening.stop - TAIL_BYTES), opening.stop), sizes_of_one_rate(header)
    ):
        return None
    return replace(_found(opening, size, demuxer, count), header=int.from_bytes(header, "big"))


def count_frames(copy: SparseCopy, size: int, demuxer: str) -> SoundFrames | None:
    """All frames of the file, one by one; None where there is anything else between them. Raises what the store raises."""
    opening = _opening(copy, size, demuxer)
    if opening is None:
        return None
    sizes, places = opening.sizes, []
    count, base, at, data = 0, opening.first, 0, b""
    for block in copy.passing(opening.first, opening.stop):
        done = min(at, len(data))
        base, at, data = base + done, at - done, data[done:] + block
        while at + SMALLEST_REST_BYTES <= len(data):
            length = sizes(data, at)
            if not length:
                return None
            if not count % EVERY:
                places.append(base + at)
            count, at = count + 1, at + length
    if base + at < opening.stop or not count:
        return None
    if opening.tag is not None and opening.tag.end_padding is not None and 0 < opening.tag.frames < count:
        return None  # the padding is said to be elsewhere than at the end
    return replace(_found(opening, size, demuxer, count), places=tuple(places))


def write_down(frames: SoundFrames, note: Path) -> None:
    """For other processes of this machine."""
    fresh = note.with_suffix(f"{note.suffix}.new")
    fresh.write_text(json.dumps(asdict(frames)))
    fresh.rename(note)


def written_down(note: Path, size: int) -> SoundFrames | None:
    """What `write_down` left of a file of ``size`` bytes, if it did."""
    try:
        told = json.loads(note.read_text())
        found = SoundFrames(**{**told, "places": tuple(told["places"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    return found if found.size == size else None


def _opening(copy: SparseCopy, size: int, demuxer: str) -> _Opening | None:
    first = 0
    for _ in range(MOST_TAGS):
        tag_bytes = tag_bytes_before(copy.read(first, min(size, first + 10))) if first < size else 0
        first += tag_bytes
        if not tag_bytes:
            break
    head = copy.read(first, min(size, first + 2 * LARGEST_FRAME_BYTES)) if first < size else b""
    kind = kind_of(demuxer, head)
    if kind is None:
        return None
    sizes = sizes_like(demuxer, head)
    behind = copy.read(max(0, size - TAIL_BYTES), size)
    length = sizes(head, 0)
    tag = length_tag(kind, head[:length]) if demuxer == "mp3" else None
    stop = size - tag_bytes_behind(behind)
    if first >= stop:
        return None
    return _Opening(kind=kind, first=first + length if tag else first, stop=stop, tag=tag, tag_at=first, sizes=sizes)


def _ends_in_frames(data: bytes, sizes: Callable[[bytes, int], int]) -> bool:
    for start in range(min(len(data), LARGEST_FRAME_BYTES)):
        at = start
        count = 0
        while at + SMALLEST_REST_BYTES <= len(data) and (length := sizes(data, at)):
            at, count = at + length, count + 1
        if at == len(data) and count >= FEWEST_AT_END:
            return True
    return False


def _found(opening: _Opening, size: int, demuxer: str, count: int) -> SoundFrames:
    samples = opening.kind.samples
    heard = count * samples
    if opening.tag is not None and opening.tag.frames and opening.tag.end_padding:
        heard = max(0, min(heard, opening.tag.frames * samples - opening.tag.end_padding))
    return SoundFrames(
        demuxer=demuxer,
        size=size,
        count=count,
        samples=samples,
        rate_hz=opening.kind.rate_hz,
        first=opening.first,
        stop=opening.stop,
        heard=heard,
    )
