"""Keys and quotas, on every database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import pytest

from storage.access import NewKey, Scope, new_token
from storage.catalogue import Concat, Upload
from storage.catalogue.sql import SqlCatalogue
from storage.errors import FishladderError, NotAllowed, NotFound, OverQuota
from storage.ids import DEFAULT_TENANT, KeyId, TenantId, VideoId
from storage.jobs import JobKind
from storage.quotas import Limits, Usage
from tests.builders import a_new_upload, an_inspected
from tests.journeys import an_uploaded_video, do

ACME, OTHER = TenantId("acme"), TenantId("other")


def a_new_key(**changes: object) -> NewKey:
    return replace(NewKey(tenant=ACME, name="backend", scopes=(Scope.UPLOAD,)), **changes)  # type: ignore[arg-type]


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_key_is_kept_without_its_secret(catalogue: SqlCatalogue) -> None:
    token = new_token()
    made = catalogue.create_key(a_new_key(scopes=(Scope.READ, Scope.UPLOAD)), token)
    kept = catalogue.key(token.id)
    assert kept == made
    assert kept.is_proved_by(token)
    assert not kept.is_proved_by(replace(token, secret=new_token().secret))
    assert token.secret not in repr(kept) + kept.digest
    assert (kept.tenant, kept.scopes, kept.last_used_at_ms) == (ACME, (Scope.READ, Scope.UPLOAD), None)


def test_keys_of_another_tenant_are_not_there(catalogue: SqlCatalogue) -> None:
    token = new_token()
    catalogue.create_key(a_new_key(), token)
    assert catalogue.keys(OTHER) == ()
    for look in (catalogue.key, catalogue.revoke_key):
        with pytest.raises(NotFound):
            look(token.id, tenant=OTHER)
    assert catalogue.key(token.id, tenant=ACME).revoked_at_ms is None
    with pytest.raises(NotFound):
        catalogue.key(KeyId("nothing"))


def test_a_revoked_key_is_no_good_and_stays_revoked_when_it_was(catalogue: SqlCatalogue) -> None:
    token = new_token()
    catalogue.create_key(a_new_key(), token)
    revoked = catalogue.revoke_key(token.id)
    assert not revoked.is_good(catalogue.now_ms())
    assert catalogue.revoke_key(token.id).revoked_at_ms == revoked.revoked_at_ms


def test_whether_anybody_could_come_in(catalogue: SqlCatalogue) -> None:
    assert not catalogue.has_good_keys()
    catalogue.create_key(a_new_key(expires_at_ms=1), new_token())
    assert not catalogue.has_good_keys()
    token = new_token()
    catalogue.create_key(a_new_key(), token)
    assert catalogue.has_good_keys()
    catalogue.revoke_key(token.id)
    assert not catalogue.has_good_keys()


def test_a_use_is_noted(catalogue: SqlCatalogue) -> None:
    token = new_token()
    catalogue.create_key(a_new_key(), token)
    catalogue.note_key_used(token.id)
    assert catalogue.key(token.id).last_used_at_ms is not None


# --- quotas ----------------------------------------------------------------------------------------------------------


def begin(catalogue: SqlCatalogue, length: int | None = 1000, **changes: object) -> Upload:
    return catalogue.create_upload(a_new_upload(tenant=ACME, length_bytes=length, **changes))


def test_what_is_not_limited_is_not_limited(catalogue: SqlCatalogue) -> None:
    for _ in range(3):
        begin(catalogue, 10**12)
    assert catalogue.usage(ACME) == Usage(stored_bytes=3 * 10**12, open_uploads=3)


def test_limits_of_a_tenant_go_over_the_defaults_one_by_one(catalogue: SqlCatalogue) -> None:
    catalogue._limits = Limits(stored_bytes=1000, open_uploads=5)
    assert catalogue.limits(ACME) == Limits(stored_bytes=1000, open_uploads=5)
    catalogue.set_limits(ACME, Limits(stored_bytes=7, minutes=3))
    assert catalogue.limits(ACME) == Limits(stored_bytes=7, open_uploads=5, minutes=3)
    assert catalogue.limits(OTHER) == Limits(stored_bytes=1000, open_uploads=5)


def test_an_upload_reserves_its_whole_length_and_others_do_not_suffer(catalogue: SqlCatalogue) -> None:
    catalogue.set_limits(ACME, Limits(stored_bytes=1500))
    begin(catalogue, 1000)
    with pytest.raises(OverQuota) as refused:
        begin(catalogue, 501)
    assert refused.value.fields == {"quota": "stored_bytes", "limit": 1500, "used": 1000}
    begin(catalogue, 500)
    catalogue.create_upload(a_new_upload(tenant=OTHER, length_bytes=10**9))


ENDS: dict[str, Callable[[SqlCatalogue, Upload], object]] = {
    "terminated": lambda catalogue, upload: catalogue.terminate_upload(upload.id),
    "refused": lambda catalogue, upload: catalogue.refuse_upload(upload.id, "not_media", "No."),
    "video deleted": lambda catalogue, upload: catalogue.delete_video(upload.video),
    "video cancelled": lambda catalogue, upload: catalogue.cancel_video(upload.video),
    "video rejected": lambda catalogue, upload: catalogue.reject_video(upload.video, "x", "No."),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_whatever_ends_an_upload_gives_back_what_it_held(
    catalogue: SqlCatalogue, end: Callable[[SqlCatalogue, Upload], object]
) -> None:
    catalogue.set_limits(ACME, Limits(stored_bytes=1000, open_uploads=1))
    end(catalogue, begin(catalogue))
    assert catalogue.usage(ACME) == Usage()
    begin(catalogue)


def test_an_upload_that_expired_gives_back_what_it_held(catalogue: SqlCatalogue) -> None:
    catalogue.set_limits(ACME, Limits(open_uploads=1))
    begin(catalogue, lifetime_ms=0)
    (expired,) = catalogue.expired_uploads(10)
    catalogue.terminate_upload(expired.id, only_expired=True)
    assert catalogue.usage(ACME) == Usage()


def test_a_complete_upload_is_no_open_one_but_holds_its_bytes_until_its_video_is_deleted(
    catalogue: SqlCatalogue,
) -> None:
    video, _ = an_uploaded_video(catalogue)
    assert catalogue.usage(DEFAULT_TENANT) == Usage(stored_bytes=1000)
    catalogue.delete_video(video)
    assert catalogue.usage(DEFAULT_TENANT) == Usage()


def test_an_upload_of_unknown_length_takes_what_it_grows_by(catalogue: SqlCatalogue) -> None:
    catalogue.set_limits(ACME, Limits(stored_bytes=100))
    upload = begin(catalogue, None)
    token = catalogue.acquire_upload(upload.id, "me", 10_000)
    catalogue.record_progress(upload.id, token, offset_bytes=100, new_parts=(), tail=None)
    with pytest.raises(OverQuota):
        catalogue.record_progress(upload.id, token, offset_bytes=101, new_parts=(), tail=None)
    assert catalogue.upload(upload.id).offset_bytes == 100
    with pytest.raises(OverQuota):
        catalogue.set_upload_length(upload.id, token, 101)
    catalogue.set_upload_length(upload.id, token, 100)
    with pytest.raises(OverQuota):
        begin(catalogue, None)


def test_what_is_joined_is_counted_once(catalogue: SqlCatalogue) -> None:
    catalogue.set_limits(ACME, Limits(stored_bytes=2000))
    partials = [begin(catalogue, concat=Concat.PARTIAL, concat_raw="partial").id for _ in range(2)]
    assert catalogue.usage(ACME).stored_bytes == 2000
    begin(catalogue, 2000, concat=Concat.FINAL, concat_raw="final;…", joins=tuple(partials))
    assert catalogue.usage(ACME).stored_bytes == 2000


def test_two_at_once_do_not_both_get_the_last_place(catalogue: SqlCatalogue) -> None:
    catalogue.set_limits(ACME, Limits(stored_bytes=3000))

    def attempt(_: int) -> bool:
        try:
            begin(catalogue)
        except OverQuota:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(12))) == 3


def test_a_film_that_is_too_long_is_told_when_its_length_is_known(catalogue: SqlCatalogue) -> None:
    catalogue.set_limits(DEFAULT_TENANT, Limits(minutes=0))
    with pytest.raises(OverQuota):
        catalogue.create_upload(a_new_upload())
    catalogue.set_limits(DEFAULT_TENANT, Limits(minutes=1))
    long = an_inspected()
    film_ms = round(long.plan.duration * 1000)
    made = 0
    while (made + 1) * film_ms <= 60_000:
        an_uploaded_video(catalogue)
        do(catalogue, JobKind.INSPECT, an_inspected())
        made += 1
    assert made
    assert catalogue.usage(DEFAULT_TENANT).film_ms == made * film_ms
    video, _ = an_uploaded_video(catalogue)
    with pytest.raises(OverQuota):
        do(catalogue, JobKind.INSPECT, an_inspected())
    assert catalogue.video(video).duration_ms is None
    assert Fraction(film_ms, 1000) == long.plan.duration


def test_tenants_are_those_that_have_anything(catalogue: SqlCatalogue) -> None:
    catalogue.create_key(a_new_key(), new_token())
    catalogue.set_limits(OTHER, Limits(minutes=3))
    video = catalogue.create_upload(a_new_upload()).video
    assert catalogue.tenants() == (ACME, DEFAULT_TENANT, OTHER)
    assert catalogue.tenant_of(video) == DEFAULT_TENANT
    with pytest.raises(NotFound):
        catalogue.tenant_of(VideoId("nothing"))


# --- grants ----------------------------------------------------------------------------------------------------------


def test_a_grant_is_used_up_also_by_many_at_once(catalogue: SqlCatalogue) -> None:
    def attempt(_: int) -> FishladderError | None:
        try:
            begin(catalogue, grant="g", grant_uploads=2)
        except NotAllowed as error:
            return error
        return None

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(attempt, range(8)))
    assert results.count(None) == 2
    begin(catalogue, grant="h", grant_uploads=1)


def test_what_was_granted_stays_with_the_upload(catalogue: SqlCatalogue) -> None:
    upload = begin(catalogue, key=KeyId("k"), grant="g", max_bytes=5000, labels={"user": "42"})
    known = catalogue.upload(upload.id)
    assert (known.key, known.grant, known.max_bytes, known.labels) == ("k", "g", 5000, {"user": "42"})


def test_the_digest_of_a_whole_file_is_remembered(catalogue: SqlCatalogue) -> None:
    upload = begin(catalogue)
    assert upload.digest is None
    catalogue.set_upload_digest(upload.id, "ab" * 32)
    assert catalogue.upload(upload.id).digest == "ab" * 32
