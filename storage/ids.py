"""Identifiers. Server-made, never derived from what a client sent."""

from __future__ import annotations

import secrets
from typing import NewType

VideoId = NewType("VideoId", str)
"""Public: it is in every watch URL."""
UploadId = NewType("UploadId", str)
"""A capability: who has it may write to the upload. Never in an object key, never in a log in full."""
AssetId = NewType("AssetId", str)
JobId = NewType("JobId", str)
TenantId = NewType("TenantId", str)
KeyId = NewType("KeyId", str)
"""Names an API key; its secret is another matter."""

DEFAULT_TENANT = TenantId("default")

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letters that look like digits


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def new_video_id() -> VideoId:
    """80 random bits: short enough for a URL, too many to guess."""
    return VideoId(_random(16))


def new_upload_id() -> UploadId:
    """160 random bits."""
    return UploadId(_random(32))


def new_asset_id() -> AssetId:
    """Starts with ``a-`` so that it never meets another top-level prefix of the store."""
    return AssetId(f"a-{_random(16)}")


def new_job_id() -> JobId:
    return JobId(_random(16))


def new_key_id() -> KeyId:
    """60 random bits: it is shown in lists, and proves nothing."""
    return KeyId(_random(12))


def new_secret() -> str:
    """160 random bits."""
    return _random(32)


def new_grant_id() -> str:
    return _random(16)
