"""Closed captions inside the pictures (ATSC A/53 part 4, 6.2.3; CEA-608 and CEA-708)."""

from __future__ import annotations

from collections.abc import Iterator

_FIELDS = {0: "CC1", 1: "CC3"}
"""What the first and the second field carry. CC2 and CC4 share them, and are told apart by their codes alone."""
_PACKET_START = 3


def channels_in(data: bytes) -> Iterator[str]:
    """The channels of a picture's ``cc_data`` triples, as manifests name them. Padding counts for field one: where there is
    room for captions from the first picture on, they come later."""
    for at in range(0, len(data) - 2, 3):
        marker, first, second = data[at], data[at + 1] & 0x7F, data[at + 2] & 0x7F
        if not marker & 4:  # cc_valid
            continue
        kind = marker & 3
        if kind == 0 or (kind in _FIELDS and (first or second)):
            yield _FIELDS[kind]
        elif kind == _PACKET_START and data[at + 2] >> 5:
            yield f"SERVICE{data[at + 2] >> 5}"
