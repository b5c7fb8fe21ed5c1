"""Content keys under their seals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.content_keys import ContentKey, SealingRing, new_content_keys
from storage.errors import KeyUnavailable
from storage.ids import AssetId
from storage.media.encryption import KeyFacts

RING = SealingRing.parse(("b:" + "22" * 32, "a:" + "11" * 32))
ASSET, OTHER = AssetId("a-1"), AssetId("a-2")


def a_key() -> ContentKey:
    return new_content_keys(1, period_segments=0)[0]


def test_a_sealed_key_opens_to_itself_and_shows_nothing_of_it() -> None:
    key = a_key()
    sealed = RING.seal(key, ASSET)
    assert RING.open(sealed, ASSET) == key
    assert sealed.sealed_by == "b"
    assert key.key.hex() not in repr(sealed) + repr(key) + repr(RING)
    assert RING.seal(key, ASSET).sealed != sealed.sealed


def test_a_key_opens_in_its_own_row_only() -> None:
    sealed = RING.seal(a_key(), ASSET)
    with pytest.raises(KeyUnavailable):
        RING.open(sealed, OTHER)
    with pytest.raises(KeyUnavailable):
        RING.open(replace(sealed, facts=replace(sealed.facts, kid="0" * 32)), ASSET)


@pytest.mark.parametrize("spoilt", ["b.", "b.####", "c.AAAA", "b." + "A" * 60])
def test_a_spoilt_seal_is_unavailable_and_not_a_crash(spoilt: str) -> None:
    with pytest.raises(KeyUnavailable):
        RING.open(replace(RING.seal(a_key(), ASSET), sealed=spoilt), ASSET)


def test_an_older_sealing_key_still_opens_and_is_replaced() -> None:
    key = a_key()
    old = SealingRing.parse(("a:" + "11" * 32,)).seal(key, ASSET)
    assert RING.open(old, ASSET) == key
    assert RING.reseal(old, ASSET).sealed_by == "b"


def test_an_empty_ring_seals_nothing() -> None:
    with pytest.raises(KeyUnavailable):
        SealingRing().seal(a_key(), ASSET)


@pytest.mark.parametrize("pair", ["a:00", "a b:" + "00" * 32, "a:" + "zz" * 32, "nothing"])
def test_sealing_keys_are_ids_with_32_bytes(pair: str) -> None:
    with pytest.raises(ValueError, match=r"sealing key|hexadecimal"):
        SealingRing.parse((pair,))


def test_periods_follow_one_another_with_keys_of_their_own() -> None:
    keys = new_content_keys(3, period_segments=10)
    assert [key.facts.first_segment for key in keys] == [0, 10, 20]
    assert len({key.facts.kid for key in keys}) == len({key.key for key in keys}) == 3


def test_ids_are_hexadecimal() -> None:
    with pytest.raises(ValueError, match="32 hexadecimal"):
        KeyFacts(kid="F" * 32, iv="0" * 32)
