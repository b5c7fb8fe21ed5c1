"""The concatenation extension as decisions: what an Upload-Concat says, and how partial uploads become one object. Pure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from storage.catalogue import Concat
from storage.errors import InvalidRequest, NotFound
from storage.ids import UploadId

MAX_PARTIALS = 1000
_UPLOAD_PATH = re.compile(r"/files/([0-9a-z]{1,64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcatWish:
    """``urls``: of the partial uploads of a final one. ``raw``: as it was sent, which a HEAD tells back."""

    kind: Concat
    raw: str
    urls: tuple[str, ...] = ()


def parse_concat(value: str) -> ConcatWish:
    """«The Upload-Concat […] value MUST be partial [or] final followed by a semicolon and a space-separated list of the
    partial upload URLs». Raises `InvalidRequest`."""
    if value == "partial":
        return ConcatWish(kind=Concat.PARTIAL, raw=value)
    word, semicolon, rest = value.partition(";")
    urls = tuple(rest.split())
    if word != "final" or not semicolon or not urls:
        raise InvalidRequest("Upload-Concat is either «partial» or «final;» and the URLs of partial uploads.")
    if len(urls) > MAX_PARTIALS:
        raise InvalidRequest(f"At most {MAX_PARTIALS} partial uploads are joined.", partials=len(urls))
    return ConcatWish(kind=Concat.FINAL, raw=value, urls=urls)


def upload_id_of(url: str, public: str) -> UploadId:
    """The upload that ``url``, absolute or relative, names below ``public``, our own base. Raises `InvalidRequest` for
    a place that is not ours, `NotFound` for a path that no upload has."""
    ours = urlsplit(public)
    try:
        named = urlsplit(urljoin(f"{public}/files", url))
    except ValueError as error:
        raise InvalidRequest("A partial upload's URL is malformed.") from error
    if named.netloc.lower() != ours.netloc.lower():
        raise InvalidRequest("Only uploads of this server can be joined.", host=named.netloc[:80])
    match = _UPLOAD_PATH.fullmatch(named.path.removeprefix(ours.path))
    if match is None:
        raise NotFound("There is no such upload.")
    return UploadId(match[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Bytes ``[start, stop)`` of the partial upload at ``index``."""

    index: int
    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinPart:
    """One part of the joined object: a copy of one range, or several small ranges that are read and put as one."""

    ranges: tuple[Range, ...]

    @property
    def size_bytes(self) -> int:
        return sum(each.size_bytes for each in self.ranges)


def plan_join(sizes: Sequence[int], *, start: int = 0, min_part_bytes: int, copy_bytes: int) -> Iterator[JoinPart]:
    """The parts from byte ``start`` of the joined object on, which may be any byte: a join that was cut off goes on
    where it stood. Every part but the last has ``min_part_bytes`` at least and ``copy_bytes`` at most.

    What a partial upload has too little of for a part is filled up from the next ones; that is less than two minimal
    parts per join of two uploads, however large they are. The rest is copied inside the store.
    """
    small: list[Range] = []
    collected = 0
    left = deque(_remaining(sizes, start))
    while left:
        here = left.popleft()
        if not small and here.size_bytes >= min_part_bytes:
            part = Range(index=here.index, start=here.start, stop=min(here.stop, here.start + copy_bytes))
            yield JoinPart(ranges=(part,))
        else:
            part = Range(
                index=here.index, start=here.start, stop=min(here.stop, here.start + min_part_bytes - collected)
            )
            small.append(part)
            collected += part.size_bytes
            if collected == min_part_bytes:
                yield JoinPart(ranges=tuple(small))
                small, collected = [], 0
        if part.stop < here.stop:
            left.appendleft(Range(index=here.index, start=part.stop, stop=here.stop))
    if small:
        yield JoinPart(ranges=tuple(small))


def _remaining(sizes: Sequence[int], start: int) -> Iterator[Range]:
    begin = 0
    for index, size in enumerate(sizes):
        skipped = min(max(0, start - begin), size)
        if skipped < size:
            yield Range(index=index, start=skipped, stop=size)
        begin += size
