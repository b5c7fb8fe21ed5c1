"""How an upload is cut into S3 parts. Pure.

Every part but the last has its planned size: what is left over when a request ends is kept as a tail object and read
back, never stored as a short part. So part numbers cannot drift past the store's limit however often a connection
breaks, and stores that want equal parts are content.
"""

from __future__ import annotations

from dataclasses import dataclass

from storage.errors import TooLarge

MIB = 1 << 20
GROWTH_PARTS = 800
MAX_PART_BYTES = 1024 * MIB
"""Of an upload of unknown length. S3 allows 5 GiB, memory does not; with less than this, 5 TiB would not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPolicy:
    """``memory_bytes`` bounds what one upload holds: the part being filled and those in flight."""

    base_bytes: int
    max_parts: int
    in_flight: int
    memory_bytes: int


def plan_part_bytes(*, stored_parts: int, stored_bytes: int, length_bytes: int | None, policy: PartPolicy) -> int:
    """Size of the next part, given how many are stored.

    Known length: equal parts, as small as the limit on their number allows. Unknown length: the size doubles every
    800 parts up to 1 GiB, so that uploads below 6 GiB cost the least memory, and 5 TiB (the largest object of S3) fit into
    10,000 parts.
    """
    parts_left = policy.max_parts - stored_parts
    if parts_left < 1:
        raise TooLarge("This upload has as many parts as the store can join.", parts=stored_parts)
    if length_bytes is None:
        return min(policy.base_bytes << (stored_parts // GROWTH_PARTS), max(MAX_PART_BYTES, policy.base_bytes))
    step = max(1, policy.base_bytes // 8)  # sizes stay round
    equal = _ceil_div(_ceil_div(length_bytes, policy.max_parts), step) * step
    remaining = _ceil_div(_ceil_div(length_bytes - stored_bytes, parts_left), step) * step
    return max(policy.base_bytes, equal, remaining)


def plan_in_flight(part_bytes: int, policy: PartPolicy) -> int:
    """How many parts of ``part_bytes`` may be on their way at once, besides the one being filled."""
    return max(1, min(policy.in_flight, policy.memory_bytes // part_bytes - 1))


def _ceil_div(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
