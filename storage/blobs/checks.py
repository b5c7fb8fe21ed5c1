"""What every adapter refuses in the same words, before it touches its store."""

from __future__ import annotations

from storage.blobs import StoredPart
from storage.errors import Conflict, InvalidRequest
from storage.keys import checked


def checked_prefix(prefix: str) -> str:
    """``prefix``, if keys of ours can start with it."""
    if prefix:
        # A prefix may end inside a name or behind a slash; one more letter makes a whole key of either.
        checked(f"{prefix}x")
    return prefix


def checked_folder(prefix: str) -> str:
    """``prefix``, if it names everything below one slash: what may be deleted at once."""
    if not prefix.endswith("/"):
        raise InvalidRequest("Only a prefix that ends with a slash can be deleted.", prefix=prefix)
    return checked_prefix(prefix)


def checked_range(start: int, stop: int) -> None:
    if not 0 <= start < stop:
        raise InvalidRequest(f"[{start}, {stop}) is not a range of bytes.", start=start, stop=stop)


def checked_copy(number: int, start: int, stop: int, *, max_parts: int, max_bytes: int) -> None:
    """Raises `InvalidRequest` for a part that cannot be copied."""
    checked_number(number, max_parts)
    checked_range(start, stop)
    if stop - start > max_bytes:
        raise InvalidRequest(f"At most {max_bytes} bytes are copied at once.", start=start, stop=stop)


def checked_number(number: int, max_parts: int) -> None:
    if not 1 <= number <= max_parts:
        raise InvalidRequest(f"Parts are numbered from 1 to {max_parts}, not {number}.")


def beyond_the_end(key: str, start: int) -> InvalidRequest:
    return InvalidRequest(f"There is no byte {start}: the object ends before it.", key=key, start=start)


def checked_parts(
    parts: tuple[StoredPart, ...], *, min_part_bytes: int, max_parts: int
) -> tuple[tuple[StoredPart, ...], int]:
    """``parts`` in order of their numbers, and their summed size."""
    if not 0 < len(parts) <= max_parts:
        raise InvalidRequest(f"An object is joined from 1 to {max_parts} parts, not {len(parts)}.")
    ordered = tuple(sorted(parts, key=lambda part: part.number))
    if len({part.number for part in ordered}) != len(ordered):
        raise InvalidRequest("Two parts have the same number.")
    if any(part.size_bytes < min_part_bytes for part in ordered[:-1]):
        raise Conflict(f"Every part but the last has at least {min_part_bytes} bytes.")
    return ordered, sum(part.size_bytes for part in ordered)
