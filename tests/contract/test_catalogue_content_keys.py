"""Content keys in the catalogue: under their seals, with the outcome of inspection, gone with their asset."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.catalogue.sql import SqlCatalogue
from storage.content_keys import CLEAR, SealingRing, new_content_keys
from storage.errors import NotFound
from storage.ids import AssetId, VideoId
from storage.jobs import LANES_BY_URGENCY
from storage.media.encryption import DrmSystem, Encryption
from tests.builders import a_new_upload, an_inspected

OLD = SealingRing(keys={"old": bytes(range(32))})
RING = SealingRing(keys={"new": bytes(reversed(range(32))), "old": bytes(range(32))})


def an_uploaded_video(catalogue: SqlCatalogue) -> VideoId:
    upload = catalogue.create_upload(a_new_upload())
    token = catalogue.acquire_upload(upload.id, "test", 60_000)
    catalogue.record_progress(upload.id, token, offset_bytes=1000, new_parts=(), tail=None)
    catalogue.complete_upload(upload.id, token, recipe="1")
    return upload.video


def an_encrypted_asset(catalogue: SqlCatalogue) -> tuple[VideoId, AssetId]:
    video = an_uploaded_video(catalogue)
    job = catalogue.claim("test", LANES_BY_URGENCY, 60_000)
    assert job is not None
    keys = tuple(OLD.seal(key, job.asset) for key in new_content_keys(2, period_segments=5))
    system = DrmSystem(system_id="edef8ba9-79d6-4ace-a3c8-27dcd51d21ed", pssh="AAAA")
    keys = (replace(keys[0], facts=replace(keys[0].facts, systems=(system,))), keys[1])
    outcome = an_inspected()
    plan = replace(outcome.plan, encryption=Encryption.CBCS)
    catalogue.commit(job.id, job.token, replace(outcome, plan=plan, keys=keys))
    return video, job.asset


def test_keys_come_with_the_plan_and_open_under_their_ring(catalogue: SqlCatalogue) -> None:
    _, asset = an_encrypted_asset(catalogue)
    found = catalogue.content_keys(asset)
    assert found.encryption is Encryption.CBCS
    assert [key.facts.first_segment for key in found.keys] == [0, 5]
    assert found.keys[0].facts.systems[0].pssh == "AAAA"
    opened = [OLD.open(key, asset).key for key in found.keys]
    assert len(set(opened)) == 2
    plan = catalogue.asset(asset).plan
    assert plan is not None
    assert plan.encryption is Encryption.CBCS


def test_an_asset_without_keys_is_clear(catalogue: SqlCatalogue) -> None:
    assert catalogue.content_keys(AssetId("a-0000000000000000")) == CLEAR


def test_keys_go_with_their_video(catalogue: SqlCatalogue) -> None:
    video, asset = an_encrypted_asset(catalogue)
    catalogue.delete_video(video)
    assert catalogue.content_keys(asset) == CLEAR


def test_a_wish_is_kept_until_it_is_taken_back(catalogue: SqlCatalogue) -> None:
    video = an_uploaded_video(catalogue)
    assert catalogue.wished_encryption(video) is None
    catalogue.wish_encryption(video, Encryption.AES128)
    catalogue.wish_encryption(video, Encryption.CBCS)
    assert catalogue.wished_encryption(video) is Encryption.CBCS
    catalogue.wish_encryption(video, None)
    assert catalogue.wished_encryption(video) is None
    with pytest.raises(NotFound):
        catalogue.wish_encryption(VideoId("nothing"), Encryption.CBCS)


def test_seals_are_replaced_one_by_one_and_by_one_who_knows_them_only(catalogue: SqlCatalogue) -> None:
    _, asset = an_encrypted_asset(catalogue)
    before = [OLD.open(key, asset).key for key in catalogue.content_keys(asset).keys]
    while waiting := catalogue.keys_not_sealed_by("new", 1):
        ((where, key),) = waiting
        renewed = RING.reseal(key, where)
        assert catalogue.replace_seal(where, key, renewed)
        assert not catalogue.replace_seal(where, key, renewed)
    after = catalogue.content_keys(asset).keys
    assert {key.sealed_by for key in after} == {"new"}
    assert [RING.open(key, asset).key for key in after] == before
