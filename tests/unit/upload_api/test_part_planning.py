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


def test_an_unknown_length_fits_two_tebibytes() -> None:
    stored = sum(
        plan_part_bytes(stored_parts=n, stored_bytes=0, length_bytes=None, policy=POLICY)
        for n in range(POLICY.max_parts)
    )
    assert stored > 2 * TIB


def test_a_length_that_is_told_late_still_fits() -> None:
    size = plan_part_bytes(stored_parts=9_990, stored_bytes=80_000 * MIB, length_bytes=TIB, policy=POLICY)
    assert 10 * size >= TIB - 80_000 * MIB


def test_no_part_beyond_the_stores_limit_is_planned() -> None:
    with pytest.raises(TooLarge):
        plan_part_bytes(stored_parts=10_000, stored_bytes=0, length_bytes=None, policy=POLICY)


@pytest.mark.parametrize(("part", "flying"), [(8 * MIB, 3), (16 * MIB, 3), (32 * MIB, 1), (512 * MIB, 1)])
def test_large_parts_fly_fewer_at_once(part: int, flying: int) -> None:
    assert plan_in_flight(part, POLICY) == flying
