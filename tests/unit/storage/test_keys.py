"""Object keys: made in one place, and unable to climb out of their prefix."""

from __future__ import annotations

import hashlib

import pytest

from storage.errors import InvalidRequest
from storage.ids import AssetId, VideoId, new_asset_id, new_video_id
from storage.keys import (
    asset_key,
    checked,
    hash12,
    init_name,
    rendition_key,
    segment_name,
    source_key,
    tail_key,
    tails_prefix,
    versioned_name,
)

ASSET = AssetId("a-0123456789abcdef")


def test_keys_are_what_the_contract_says() -> None:
    assert source_key(VideoId("v1")) == "sources/v1"
    assert rendition_key(ASSET, "720p", segment_name(12, "0123456789ab")) == f"{ASSET}/720p/12-0123456789ab.m4s"
    assert rendition_key(ASSET, "720p", init_name("0123456789ab")) == f"{ASSET}/720p/init-0123456789ab.mp4"
    assert asset_key(ASSET, "poster.jpg") == f"{ASSET}/poster.jpg"


def test_a_tail_lies_below_the_prefix_of_its_video() -> None:
    assert tail_key(VideoId("v1"), 3, 4096).startswith(tails_prefix(VideoId("v1")))
    assert tails_prefix(VideoId("v1")).endswith("/")


@pytest.mark.parametrize(
    ("name", "versioned"),
    [
        ("master.m3u8", "master-0123456789ab.m3u8"),
        ("720p/media.m3u8", "720p/media-0123456789ab.m3u8"),
        ("poster", "poster-0123456789ab"),
    ],
)
def test_a_version_goes_before_the_suffix(name: str, versioned: str) -> None:
    assert versioned_name(name, "0123456789ab") == versioned


def test_a_hash_is_the_start_of_the_content_s_sha256() -> None:
    assert hash12(b"fish") == hashlib.sha256(b"fish").hexdigest()[:12]
    assert hash12(b"fish") != hash12(b"ladder")


def test_keys_of_new_ids_pass() -> None:
    assert checked(source_key(new_video_id()))
    assert checked(asset_key(new_asset_id(), "storyboard/0-0123456789ab.jpg"))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/absolute",
        "ends/",
        "two//slashes",
        "..",
        "../up",
        "a/../b",
        "a/..b",
        "a/b..",
        ".hidden",
        "a/.hidden",
        "-option",
        "UPPER",
        "space d",
        "new\nline",
        "trailing\n",
        "nul\0",
        "back\\slash",
        "percent%2e",
        "ümlaut",
        "a" * 513,
    ],
)
def test_what_we_cannot_have_made_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest):
        checked(key)


@pytest.mark.parametrize("evil", ["../../etc/passwd", "a/b\0", "..", "/root", "A"])
def test_no_id_or_name_can_climb_out(evil: str) -> None:
    with pytest.raises(InvalidRequest):
        source_key(VideoId(evil))
    with pytest.raises(InvalidRequest):
        rendition_key(ASSET, evil, "x")
    with pytest.raises(InvalidRequest):
        rendition_key(ASSET, "720p", evil)
    with pytest.raises(InvalidRequest):
        asset_key(AssetId(evil), "poster.jpg")
    with pytest.raises(InvalidRequest):
        tails_prefix(VideoId(evil))


def test_a_refused_key_is_not_repeated_at_length() -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked("X" * 10_000)
    assert len(str(refused.value.fields["key"])) <= 80
