"""Playback tokens of both forms, and who gets in with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace

import httpx
import pytest

from storage import cbor
from storage.cat import CommonAccessToken, mint_cat, read_cat
from storage.errors import GrantExpired, NotAllowed
from storage.grants import KeyRing, PlaybackGrant, Visibility, read_grant, sign_grant
from storage.ids import VideoId
from tests.unit.origin.conftest import VIDEO, World

OLD, NEW = "old:" + "11" * 32, "new:" + "22" * 32
KEYS = KeyRing.parse((NEW, OLD))
NOW = 1_800_000_000
GRANT = PlaybackGrant(video=VIDEO, expires_at_s=NOW + 60)


def cat_of(grant: PlaybackGrant, keys: KeyRing = KEYS) -> str:
    key_id, secret = keys.signing
    token = CommonAccessToken(
        video=grant.video,
        expires_at_s=grant.expires_at_s,
        not_before_s=grant.not_before_s or None,
        network=grant.network,
    )
    return base64.urlsafe_b64encode(mint_cat(token, key_id, secret)).rstrip(b"=").decode()


FORMS = pytest.mark.parametrize("mint", [sign_grant, cat_of], ids=["own", "cat"])


@FORMS
@pytest.mark.parametrize(
    "grant",
    [
        GRANT,
        replace(GRANT, not_before_s=NOW - 5),
        replace(GRANT, network="10.1.0.0/16"),
        replace(GRANT, network="::1/128"),
    ],
    ids=["plain", "not before", "network", "address"],
)
def test_a_token_says_what_was_granted(mint, grant: PlaybackGrant) -> None:  # type: ignore[no-untyped-def]
    assert read_grant(mint(grant, KEYS), KEYS, NOW) == grant


@FORMS
def test_no_changed_byte_of_a_token_is_believed(mint) -> None:  # type: ignore[no-untyped-def]
    token = mint(GRANT, KEYS)
    for place in range(len(token)):
        for other in "A_z":
            changed = token[:place] + other + token[place + 1 :]
            if changed == token:
                continue
            try:
                assert read_grant(changed, KEYS, NOW) == GRANT  # the last base64 digit has bits that mean nothing
                assert place == len(token) - 1
            except NotAllowed:
                pass


@FORMS
def test_keys_are_rotated_without_breaking_links(mint) -> None:  # type: ignore[no-untyped-def]
    before = mint(GRANT, KeyRing.parse((OLD,)))
    assert read_grant(before, KEYS, NOW) == GRANT
    with pytest.raises(NotAllowed):
        read_grant(before, KeyRing.parse((NEW,)), NOW)


@FORMS
def test_a_token_ends(mint) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(GrantExpired):
        read_grant(mint(GRANT, KEYS), KEYS, GRANT.expires_at_s)


@pytest.mark.parametrize("token", ["", ".", "..", "new..", "x" * 5000, "new.é.x", "2D3R", "new." + "A" * 900 + ".x"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(NotAllowed):
        read_grant(token, KEYS, NOW)


@pytest.mark.parametrize(
    ("video", "now_s", "address", "allowed"),
    [
        (VIDEO, NOW, "10.1.2.3", True),
        (VideoId("other"), NOW, "10.1.2.3", False),
        (VIDEO, NOW - 6, "10.1.2.3", False),
        (VIDEO, NOW, "10.2.0.1", False),
        (VIDEO, NOW, None, False),
        (VIDEO, NOW, "nonsense", False),
    ],
)
def test_a_grant_is_for_its_video_time_and_network(
    video: VideoId, now_s: int, address: str | None, allowed: bool
) -> None:
    grant = replace(GRANT, not_before_s=NOW - 5, network="10.1.0.0/16")
    assert grant.allows(video, now_s, address) is allowed


@pytest.mark.parametrize(
    "claims",
    [
        {4: NOW + 60, 312: {3: {0: f"/v/{VIDEO}/"}}, 308: 1},  # replay: a claim that we do not keep to
        {4: NOW + 60, 312: {1: {0: "other.example"}}},
        {4: NOW + 60, 312: {3: {1: f"/v/{VIDEO}/"}}, 310: 2},
        {4: NOW + 60, 312: {3: {1: f"/v/{VIDEO}/"}}, 313: ["POST"]},
        {4: "soon", 312: {3: {1: f"/v/{VIDEO}/"}}},
        {312: {3: {1: f"/v/{VIDEO}/"}}},  # for ever
        {4: NOW + 60},  # for every video
        [1, 2],
    ],
)
def test_a_cat_with_claims_that_we_cannot_keep_to_opens_nothing(claims: object) -> None:
    protected, payload = cbor.encode({1: 5}), cbor.encode(claims)
    mac = hmac.digest(KEYS.keys["new"], cbor.encode(["MAC0", protected, b"", payload]), hashlib.sha256)
    message = cbor.encode(cbor.Tagged(17, [protected, {4: b"new"}, payload, mac]))
    with pytest.raises(NotAllowed):
        read_grant(base64.urlsafe_b64encode(message).rstrip(b"=").decode(), KEYS, NOW)


def test_a_cat_is_made_as_the_standards_write_it() -> None:
    """RFC 8392 appendix A.4 shows a CWT in a COSE_Mac0 with HMAC 256/64; ours differs in the algorithm only."""
    message = cbor.decode(mint_cat(CommonAccessToken(video="abc", expires_at_s=1), "k", b"s" * 16))
    assert message.tag == 61
    assert message.value.tag == 17
    protected, unprotected, payload, _ = message.value.value
    assert cbor.decode(protected) == {1: 5}
    assert unprotected == {4: b"k"}
    assert cbor.decode(payload) == {4: 1, 310: 1, 312: {3: {1: "/v/abc/"}}}
    assert (
        read_cat(mint_cat(CommonAccessToken(video="abc", expires_at_s=1), "k", b"s" * 16), {"k": b"s" * 16}).video
        == "abc"
    )


# --- at the origin ---------------------------------------------------------------------------------------------------

SEGMENT = b"segment" * 100


@pytest.fixture
def signed(world: World) -> World:
    world.settings = replace(world.settings, playback_keys=KEYS)
    world.catalogue.visible = Visibility.SIGNED
    return world


def lasting(**changes: object) -> str:
    return sign_grant(replace(GRANT, expires_at_s=4_000_000_000, **changes), KEYS)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_a_signed_video_plays_with_its_token_in_path_or_query(signed: World) -> None:
    path = signed.store_segment(SEGMENT)
    async with signed.client() as client:
        for _ in range(2):  # cold, then hot
            for name in (path, "master.m3u8"):
                assert (await client.get(f"/t/{lasting()}/v/{VIDEO}/{name}")).status_code == 200
                assert (await client.get(f"/v/{VIDEO}/{name}?token={lasting()}")).status_code == 200
        got = await client.get(f"/t/{lasting()}/v/{VIDEO}/{path}")
        assert got.headers["cache-control"] == "private, max-age=31536000, immutable"


@pytest.mark.anyio
async def test_unsigned_foreign_and_unknown_are_refused_in_the_same_words(signed: World) -> None:
    path = signed.store_segment(SEGMENT)
    async with signed.client() as client:
        assert (await client.get(f"/t/{lasting()}/v/{VIDEO}/{path}")).status_code == 200  # it is hot now
        answers = [
            await client.get(url)
            for url in (
                f"/v/{VIDEO}/{path}",
                f"/t/{lasting(video=VideoId('other'))}/v/{VIDEO}/{path}",
                f"/t/{lasting(not_before_s=3_900_000_000)}/v/{VIDEO}/{path}",
                f"/t/{lasting(network='192.0.2.0/24')}/v/{VIDEO}/{path}",
                f"/t/nonsense/v/{VIDEO}/{path}",
                f"/v/zzzzzzzzzzzzzzzz/{path}",
                f"/t/{lasting()}/v/zzzzzzzzzzzzzzzz/{path}",
            )
        ]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "not_allowed")}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.anyio
async def test_an_expired_token_says_so_whatever_it_was_for(signed: World) -> None:
    ended = sign_grant(replace(GRANT, expires_at_s=1_000), KEYS)
    async with signed.client() as client:
        for video in (VIDEO, "zzzzzzzzzzzzzzzz"):
            answer = await client.get(f"/t/{ended}/v/{video}/master.m3u8")
            assert (answer.status_code, answer.json()["code"]) == (403, "grant_expired")


@pytest.mark.anyio
async def test_an_edge_that_checks_tokens_gets_what_it_may_share(signed: World) -> None:
    signed.settings = replace(signed.settings, edge_secret="between us")
    async with signed.client() as client:
        trusted = await client.get(f"/v/{VIDEO}/master.m3u8", headers={"fishladder-edge": "between us"})
        guessed = await client.get(f"/v/{VIDEO}/master.m3u8", headers={"fishladder-edge": "between"})
        checks = [await client.get(f"{prefix}/authorize/v/{VIDEO}/master.m3u8") for prefix in ("", f"/t/{lasting()}")]
    assert (trusted.status_code, guessed.status_code) == (200, 403)
    assert trusted.headers["cache-control"].startswith("public")
    assert trusted.headers["fishladder-visibility"] == "signed"
    assert [check.status_code for check in checks] == [403, 204]


@pytest.mark.anyio
async def test_a_video_is_as_visible_as_it_says_or_as_the_default(signed: World) -> None:
    for visible, default, status in (
        (Visibility.PUBLIC, Visibility.SIGNED, 200),
        (Visibility.UNLISTED, Visibility.SIGNED, 200),
        (None, Visibility.SIGNED, 403),
        (None, Visibility.PUBLIC, 200),
    ):
        signed.catalogue.visible = visible
        signed.settings = replace(signed.settings, default_visibility=default)
        async with signed.client() as client:
            assert (await client.get(f"/v/{VIDEO}/master.m3u8")).status_code == status


@pytest.mark.anyio
async def test_an_address_is_believed_from_trusted_proxies_only(signed: World) -> None:
    token = lasting(network="192.0.2.0/24")
    told = {"x-forwarded-for": "192.0.2.7"}
    for proxies, status in (((), 403), (("127.0.0.0/8",), 200), (("10.0.0.0/8",), 403)):
        signed.settings = replace(signed.settings, trusted_proxies=proxies)
        async with signed.client() as client:
            got: httpx.Response = await client.get(f"/t/{token}/v/{VIDEO}/master.m3u8", headers=told)
            assert got.status_code == status
