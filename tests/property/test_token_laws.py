"""Keys, grants and signed claims: what we made is read back, and nothing else is believed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from storage.access import PREFIX, KeyToken, new_token, parse_token
from storage.errors import InvalidRequest
from storage.grants import KeyRing
from storage.ids import ALPHABET, KeyId, TenantId
from storage.jobs import GRANTED_LANES
from storage.signing import read_claims, sign_claims
from storage.upload_grants import UploadGrant, read_upload_grant, sign_upload_grant
from upload_api.auth.doorkeeper import bearer_token, cookie_value

RING = KeyRing(keys={"new": b"n" * 32, "old": b"o" * 32})
OLD = KeyRing(keys={"old": b"o" * 32})

letters = st.text(ALPHABET, min_size=1)
tokens = st.builds(
    lambda key, secret: KeyToken(id=KeyId(key), secret=secret),
    st.text(ALPHABET, min_size=12, max_size=12),
    st.text(ALPHABET, min_size=32, max_size=32),
)
grants = st.builds(
    UploadGrant,
    id=st.text(ALPHABET, min_size=16, max_size=16),
    tenant=st.from_regex(r"[a-z0-9][a-z0-9_\-]{0,20}", fullmatch=True).map(TenantId),
    expires_at_s=st.integers(0, 1 << 40),
    max_bytes=st.none() | st.integers(1, 1 << 60),
    max_uploads=st.integers(1, 1000),
    types=st.lists(st.sampled_from(["video/*", "video/mp4", "application/mxf"]), max_size=3).map(tuple),
    lane=st.none() | st.sampled_from(sorted(GRANTED_LANES)),
    metadata=st.dictionaries(st.from_regex(r"[A-Za-z0-9_\-]{1,40}", fullmatch=True), st.text(max_size=40), max_size=4),
    key=st.none() | st.text(ALPHABET, min_size=12, max_size=12).map(KeyId),
)


@given(tokens)
def test_a_key_reads_itself_back(token: KeyToken) -> None:
    assert parse_token(token.text) == token


@given(tokens, st.integers(len(PREFIX), 59), st.sampled_from(ALPHABET))
def test_one_wrong_letter_is_noticed_without_asking_anybody(token: KeyToken, place: int, letter: str) -> None:
    wrong = token.text[:place] + letter + token.text[place + 1 :]
    assume(wrong != token.text)
    assert parse_token(wrong) is None


@given(st.text())
def test_nothing_that_we_did_not_make_is_a_key(text: str) -> None:
    assert parse_token(text) is None
    assert parse_token(PREFIX + text) is None


@given(tokens)
def test_a_key_never_shows_its_secret(token: KeyToken) -> None:
    assert token.secret not in repr(token)
    assert token.secret not in token.digest


def test_no_two_keys_are_the_same() -> None:
    assert len({new_token().text for _ in range(1000)}) == 1000


@given(grants)
def test_a_grant_reads_itself_back_also_when_a_newer_key_signs(grant: UploadGrant) -> None:
    assert read_upload_grant(sign_upload_grant(grant, RING), RING) == grant
    assert read_upload_grant(sign_upload_grant(grant, OLD), RING) == grant
    assert read_upload_grant(sign_upload_grant(grant, RING), OLD) is None


@given(grants, st.data())
def test_a_grant_that_was_changed_anywhere_is_none(grant: UploadGrant, data: st.DataObject) -> None:
    text = sign_upload_grant(grant, RING)
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    changed = text[:place] + letter + text[place + 1 :]
    assume(changed != text)
    assert read_upload_grant(changed, RING) is None


@given(st.text())
def test_any_text_is_refused_calmly(text: str) -> None:
    assert read_upload_grant(text, RING) is None
    assert read_upload_grant(f"fl_grant_{text}", RING) is None
    assert read_claims("session", text, RING) is None
    assert parse_token(text) is None


@given(st.dictionaries(letters, st.integers() | st.text() | st.none(), max_size=4))
def test_what_was_signed_for_one_purpose_is_nothing_for_another(claims: dict[str, object]) -> None:
    text = sign_claims("session", claims, RING)
    assert read_claims("session", text, RING) == claims
    assert read_claims("upload", text, RING) is None


@given(st.text(st.characters(max_codepoint=255)))
def test_any_header_is_read_calmly(field: str) -> None:
    token = bearer_token(field)
    assert token is None or token == token.strip()
    cookie_value(field, "fishladder_session")


@pytest.mark.parametrize(
    ("field", "token"),
    [
        ("Bearer x", "x"),
        ("bearer  x ", "x"),
        ("Basic eDp5", None),
        ("", None),
        ("Bearer", ""),
        ("Bearer a, Bearer b", "a, Bearer b"),
    ],
)
def test_only_bearer_is_ours(field: str, token: str | None) -> None:
    assert bearer_token(field) == token


@given(grants)
def test_limits_of_a_grant_cannot_be_nonsense(grant: UploadGrant) -> None:
    for wrong in ({"max_bytes": 0}, {"max_uploads": 0}, {"types": ("video",)}, {"metadata": {"a b": "c"}}):
        with pytest.raises(InvalidRequest):
            replace(grant, **wrong)
