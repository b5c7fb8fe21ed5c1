"""Files as nobody writes them: made from good ones, each by a chance of its own."""

from __future__ import annotations

import random
from collections.abc import Callable

EXTREMES = (
    b"\x00" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\x00\x00\x00\x01",
    b"\xff\xff\xff\x7f",
)


def flipped(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 64)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def with_extremes(data: bytearray, chance: random.Random) -> None:
    """Sizes, counts and offsets as nobody writes them; most of them stand near the start or the end."""
    for _ in range(chance.randint(1, 8)):
        near = chance.choice((min(len(data), 2000), len(data)))
        at = chance.choice((0, len(data) - near)) + chance.randrange(near)
        data[at : at + 4] = chance.choice(EXTREMES)


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(1, len(data)) :]


def with_noise(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    data[at : at + 200] = chance.randbytes(chance.randint(1, 400))


def with_parts_moved(data: bytearray, chance: random.Random) -> None:
    start, length, to = chance.randrange(len(data)), chance.randint(1, 1000), chance.randrange(len(data))
    data[to:to] = data[start : start + length]


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flipped, with_extremes, cut, with_noise, with_parts_moved,
)  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """``data`` after one to three mutations."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        if changed:
            chance.choice(MUTATIONS)(changed, chance)
    return bytes(changed)
