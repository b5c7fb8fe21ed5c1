"""tus decisions, by the numbers of the assertions that a complete server is held to (core 1–18, creation 19–33,
expiration 34–37, termination 44–46)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.catalogue import Upload
from storage.errors import InvalidRequest, OffsetMismatch, TooLarge, UploadTerminated
from storage.ids import DEFAULT_TENANT, UploadId, VideoId
from upload_api.errors import MethodNotAllowed, UnsupportedVersion, UploadRefused, WrongContentType
from upload_api.tus.checksums import ALGORITHMS
from upload_api.tus.protocol import (
    EXTENSIONS,
    Append,
    TusPolicy,
    admit_append,
    appended_fields,
    check_method,
    check_not_refused,
    check_standing,
    check_version,
    created_fields,
    effective_method,
    is_whole,
    options_fields,
    parse_append,
    parse_creation,
    standing_fields,
)

POLICY = TusPolicy(max_bytes=1000)
BODY = {"content-type": "application/offset+octet-stream"}


def an_upload(**changes: object) -> Upload:
    upload = Upload(
        id=UploadId("u" * 32),
        video=VideoId("v" * 16),
        tenant=DEFAULT_TENANT,
        source_key="sources/vvvvvvvvvvvvvvvv",
        length_bytes=100,
        offset_bytes=40,
        metadata_raw=None,
        filename=None,
        multipart_id=None,
        parts=(),
        tail=None,
        state="open",
        reason_code=None,
        reason=None,
        created_at_ms=0,
        expires_at_ms=86_400_000,
    )
    return replace(upload, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("fields", [{}, {"tus-resumable": "0.2.2"}, {"tus-resumable": ""}])
def test_02_a_changing_request_of_another_version_is_refused(method: str, fields: dict[str, str]) -> None:
    with pytest.raises(UnsupportedVersion):
        check_version(method, fields)


def test_03_head_may_leave_the_version_out_but_not_say_another() -> None:
    check_version("HEAD", {})
    with pytest.raises(UnsupportedVersion):
        check_version("HEAD", {"tus-resumable": "2.0.0"})


def test_04_options_ignores_the_clients_version_and_tells_ours() -> None:
    check_version("OPTIONS", {"tus-resumable": "bogus"})
    told = dict(options_fields(POLICY))
    assert told == {
        "Tus-Version": "1.0.0",
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        "Tus-Max-Size": "1000",
    }
    assert "Tus-Max-Size" not in dict(options_fields(TusPolicy(max_bytes=None)))


def test_05_a_method_override_makes_the_real_method_irrelevant() -> None:
    assert effective_method("POST", {"x-http-method-override": "patch"}) == "PATCH"
    assert effective_method("DELETE", {"x-http-method-override": "HEAD"}) == "HEAD"
    assert effective_method("POST", {}) == "POST"


def test_an_unknown_method_is_told_what_is_allowed() -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        check_method("PUT", ("OPTIONS", "HEAD"))
    assert refused.value.fields["allow"] == "OPTIONS, HEAD"


@pytest.mark.parametrize("offset", [0, 40, 100])
def test_06_head_always_tells_offset_and_length(offset: int) -> None:
    told = dict(standing_fields(an_upload(offset_bytes=offset)))
    assert told["Upload-Offset"] == str(offset)
    assert told["Upload-Length"] == "100"
    assert "Upload-Defer-Length" not in told


@pytest.mark.parametrize("kind", ["", "application/octet-stream", "text/plain"])
def test_08_patch_of_another_content_type_is_refused(kind: str) -> None:
    with pytest.raises(WrongContentType):
        parse_append({"content-type": kind, "upload-offset": "0", "content-length": "5"})


def test_08_content_type_parameters_and_case_do_not_matter() -> None:
    fields = {"content-type": "Application/Offset+Octet-Stream; charset=x", "upload-offset": "0"}
    assert parse_append(fields).offset_bytes == 0


@pytest.mark.parametrize("offset", [0, 39, 41, 100, 10**17])
def test_09_any_offset_but_the_current_one_is_a_mismatch(offset: int) -> None:
    with pytest.raises(OffsetMismatch) as mismatch:
        admit_append(Append(offset_bytes=offset, body_bytes=1, length_bytes=None), an_upload(), POLICY)
    assert mismatch.value.fields == {"expected_offset": 40, "provided_offset": offset}


@pytest.mark.parametrize("offset", [None, "", "-1", "+5", "1e3", "0x10", "5 ", "1, 1", "٣", "9" * 19, "1.0"])
def test_10_an_offset_that_is_no_count_is_refused(offset: str | None) -> None:
    fields = BODY if offset is None else BODY | {"upload-offset": offset}
    with pytest.raises(InvalidRequest):
        parse_append(fields)


def test_14_a_body_beyond_the_length_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        admit_append(Append(offset_bytes=40, body_bytes=61, length_bytes=None), an_upload(), POLICY)
    exact = admit_append(Append(offset_bytes=40, body_bytes=60, length_bytes=None), an_upload(), POLICY)
    assert exact.room_bytes == 60


def test_15_an_empty_patch_at_the_end_is_fine() -> None:
    done = an_upload(offset_bytes=100, state="completed")
    assert admit_append(Append(offset_bytes=100, body_bytes=0, length_bytes=None), done, POLICY).room_bytes == 0


def test_16_a_chunked_body_has_no_known_size_whatever_content_length_says() -> None:
    fields = BODY | {"upload-offset": "0", "transfer-encoding": "chunked", "content-length": "3"}
    assert parse_append(fields).body_bytes is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"upload-length": "10", "upload-defer-length": "1"},
        {"upload-defer-length": "0"},
        {"upload-defer-length": "2"},
        {"upload-length": "-1"},
        {"upload-length": "ten"},
        {"upload-length": "10, 10"},
    ],
)
def test_19_creation_needs_exactly_one_valid_length(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        parse_creation(fields, POLICY)


def test_20_created_tells_where_and_which_video() -> None:
    told = dict(created_fields(an_upload(offset_bytes=0), "http://fish.test/files/u"))
    assert told["Location"] == "http://fish.test/files/u"
    assert told["Fishladder-Video"] == "v" * 16


def test_21_a_length_over_the_limit_is_too_large() -> None:
    with pytest.raises(TooLarge):
        parse_creation({"upload-length": "1001"}, POLICY)
    assert parse_creation({"upload-length": "1000"}, POLICY).length_bytes == 1000


def test_22_an_empty_file_can_be_created() -> None:
    assert parse_creation({"upload-length": "0"}, POLICY).length_bytes == 0


def test_23_metadata_is_told_back_as_it_came() -> None:
    raw = "zulu Wg==,alpha QQ==,flag,filename YS5tcDQ="
    creation = parse_creation({"upload-length": "1", "upload-metadata": raw}, POLICY)
    assert creation.metadata_raw == raw
    assert dict(standing_fields(an_upload(metadata_raw=raw)))["Upload-Metadata"] == raw


def test_26_a_deferred_length_is_told_as_such() -> None:
    told = dict(standing_fields(an_upload(length_bytes=None)))
    assert told["Upload-Defer-Length"] == "1"
    assert "Upload-Length" not in told


def test_27_a_deferred_length_is_fixed_once() -> None:
    deferred = an_upload(length_bytes=None)
    append = Append(offset_bytes=40, body_bytes=10, length_bytes=100)
    assert admit_append(append, deferred, POLICY).fix_length_bytes == 100
    assert admit_append(append, an_upload(), POLICY).fix_length_bytes is None  # the same again is harmless
    with pytest.raises(InvalidRequest):
        admit_append(replace(append, length_bytes=99), an_upload(), POLICY)
    with pytest.raises(InvalidRequest):
        admit_append(replace(append, length_bytes=39), deferred, POLICY)
    with pytest.raises(TooLarge):
        admit_append(replace(append, length_bytes=1001), deferred, POLICY)


def test_28_without_a_length_the_limit_is_the_room() -> None:
    admission = admit_append(
        Append(offset_bytes=40, body_bytes=None, length_bytes=None), an_upload(length_bytes=None), POLICY
    )
    assert admission.room_bytes == 960


def test_30_only_a_body_of_our_type_is_the_uploads() -> None:
    ours = parse_creation({"upload-length": "9", "content-length": "5"} | BODY, POLICY)
    assert (ours.carries_body, ours.body_bytes) == (True, 5)
    other = parse_creation({"upload-length": "9", "content-length": "5", "content-type": "text/plain"}, POLICY)
    assert not other.carries_body
    empty = parse_creation({"upload-length": "9", "content-length": "0"} | BODY, POLICY)
    assert not empty.carries_body


def test_30_a_first_body_longer_than_the_upload_is_refused() -> None:
    with pytest.raises(TooLarge):
        parse_creation({"upload-length": "4", "content-length": "5"} | BODY, POLICY)


def test_34_an_unfinished_upload_tells_when_it_expires() -> None:
    expected = ("Upload-Expires", "Fri, 02 Jan 1970 00:00:00 GMT")
    assert expected in appended_fields(an_upload())
    assert expected in created_fields(an_upload(), "x")
    for finished in (an_upload(state="completed"), an_upload(offset_bytes=100)):
        assert "Upload-Expires" not in dict(appended_fields(finished))


def test_35_expired_and_ended_uploads_are_gone() -> None:
    check_standing(an_upload(), 86_399_999)
    for gone in (an_upload(), an_upload(state="terminated")):
        with pytest.raises(UploadTerminated):
            check_standing(gone, 86_400_000)


def test_36_a_completed_upload_never_expires() -> None:
    check_standing(an_upload(state="completed"), 10**15)


@pytest.mark.parametrize("value", ["", "Partial", "final", "final;", "final; ", "finally;/files/a", "partial;/files/a"])
def test_47_48_concat_is_partial_or_a_list(value: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_creation(
            {"upload-concat": value, "upload-length": "5"} if "partial" in value else {"upload-concat": value}, POLICY
        )


def test_a_refused_upload_says_why() -> None:
    refused = an_upload(state="refused", reason_code="empty", reason="This file is empty.")
    with pytest.raises(UploadRefused, match="This file is empty") as error:
        check_not_refused(refused)
    assert error.value.fields["reason_code"] == "empty"


def test_whole_means_every_byte_of_a_known_length() -> None:
    assert is_whole(an_upload(offset_bytes=100))
    assert not is_whole(an_upload())
    assert not is_whole(an_upload(length_bytes=None))
