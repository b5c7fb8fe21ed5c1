from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import TooLarge
from upload_api.tus.parts import MIB, PartPolicy, plan_in_flight, plan_part_bytes

POLICY = PartPolicy(base_bytes=8 * MIB, max_parts=10_000, in_flight=3, memory_bytes=64 * MIB)
TIB = 1 << 40


def test_usual_files_have_parts_of_the_base_size() -> None:
    assert plan_part_bytes(stored_parts=0, stored_bytes=0, length_bytes=5, policy=POLICY) == 8 * MIB
    assert plan_part_bytes(stored_parts=0, stored_bytes=0, length_bytes=78 * 1024 * MIB, policy=POLICY) == 8 * MIB


@given(st.integers(min_value=1, max_value=5 * TIB))
def test_a_known_length_is_cut_into_equal_parts_within_the_stores_limit(length: int) -> None:
    size = plan_part_bytes(stored_parts=0, stored_bytes=0, length_bytes=length, policy=POLICY)
    assert -(-length // size) <= POLICY.max_parts
    stored = min(7, length // size)
    again = plan_part_bytes(stored_parts=stored, stored_bytes=stored * size, length_bytes=length, policy=POLICY)
    assert again == size


def grown(parts: int, start: int = 0) -> int:
    """Bytes in ``parts`` parts of an upload of unknown length."""
    sizes = (
        plan_part_bytes(stored_parts=n, stored_bytes=0, length_bytes=None, policy=POLICY)
        for n in range(start, start + parts)
    )
    return sum(sizes)


def test_an_unknown_length_fits_the_largest_object_of_s3() -> None:
    assert grown(POLICY.max_parts) >= 5 * TIB


def test_an_unknown_length_costs_little_memory_for_long() -> None:
    assert grown(800) == 800 * 8 * MIB
    sizes = [grown(1, start) for start in range(0, POLICY.max_parts, 100)]
    assert sizes == sorted(sizes)
    assert max(sizes) == 1024 * MIB


@given(st.integers(0, 9_999), st.floats(0, 1))
def test_a_length_that_is_told_anywhere_on_the_way_fits_too(parts: int, share: float) -> None:
    stored = grown(parts)
    length = stored + int(share * max(0, 5 * TIB - stored))
    left, sizes = length - stored, []
    while left > 0:
        size = plan_part_bytes(
            stored_parts=parts + len(sizes), stored_bytes=length - left, length_bytes=length, policy=POLICY
        )
        jump = max(1, min(left // size, 500))  # the plan changes slowly; not every part needs asking for
        sizes += [size] * jump
        left -= size * jump
    assert parts + len(sizes) <= POLICY.max_parts
    assert max(sizes, default=0) <= 5 * 1024 * MIB


def test_a_length_that_is_told_late_still_fits() -> None:
    size = plan_part_bytes(stored_parts=9_990, stored_bytes=80_000 * MIB, length_bytes=TIB, policy=POLICY)
    assert 10 * size >= TIB - 80_000 * MIB


def test_no_part_beyond_the_stores_limit_is_planned() -> None:
    with pytest.raises(TooLarge):
        plan_part_bytes(stored_parts=10_000, stored_bytes=0, length_bytes=None, policy=POLICY)


@pytest.mark.parametrize(("part", "flying"), [(8 * MIB, 3), (16 * MIB, 3), (32 * MIB, 1), (512 * MIB, 1)])
def test_large_parts_fly_fewer_at_once(part: int, flying: int) -> None:
    assert plan_in_flight(part, POLICY) == flying
