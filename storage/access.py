"""API keys: who a program is to us. Words and tokens; the rows are the catalogue's.

A token is ``fl_live_{id}_{secret}{check}``. The id finds the key, the secret (160 random bits) proves it, the check tells
a mistyped or made-up token from ours without asking anybody, and the prefix is what scanners of leaked secrets look for.
Only the SHA-256 of the secret is kept: of that many random bits a fast digest gives nothing away.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from storage.errors import InvalidRequest
from storage.ids import ALPHABET, KeyId, TenantId, VideoId, new_key_id, new_secret

PREFIX = "fl_live_"
MAX_NAME_CHARACTERS = 80
_CHECK_CHARACTERS = 7  # 35 bits hold a CRC-32
_TOKEN = re.compile(
    rf"{PREFIX}([{ALPHABET}]{{12}})_([{ALPHABET}]{{32}})([{ALPHABET}]{{{_CHECK_CHARACTERS}}})", re.ASCII
)
_TENANT = re.compile(r"[a-z0-9][a-z0-9_\-]{0,63}", re.ASCII)


class Scope(StrEnum):
    """What a key opens, within its tenant."""

    UPLOAD = "upload"  # begin uploads, sign upload grants
    READ = "read"  # list and see videos, hear events
    MANAGE = "manage"  # change, cancel, retry and delete them; reads too
    ADMIN = "admin"  # everything, keys too


_WIDER: dict[Scope, frozenset[Scope]] = {
    Scope.MANAGE: frozenset({Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}
EVERYTHING = frozenset(Scope)


def opened_by(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """``scopes`` and what they imply."""
    given = frozenset(scopes)
    return given.union(*(_WIDER.get(scope, frozenset()) for scope in given))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyToken:
    """A token, taken apart. It never shows itself."""

    id: KeyId
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """What its owner keeps."""
        body = f"{PREFIX}{self.id}_{self.secret}"
        return body + _check(body)

    @property
    def digest(self) -> str:
        """What is kept of it."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


def new_token() -> KeyToken:
    return KeyToken(id=new_key_id(), secret=new_secret())


def parse_token(text: str) -> KeyToken | None:
    """The parts of a token that we could have made; None for anything else."""
    match = _TOKEN.fullmatch(text)
    if match is None or _check(text[: -len(match[3])]) != match[3]:
        return None
    return KeyToken(id=KeyId(match[1]), secret=match[2])


def _check(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK_CHARACTERS):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """``expires_at_ms`` None: never. Raises `InvalidRequest` for a tenant or name that cannot be."""

    tenant: TenantId
    name: str
    scopes: tuple[Scope, ...]
    expires_at_ms: int | None = None

    def __post_init__(self) -> None:
        check_tenant(self.tenant)
        if not self.name.strip() or len(self.name) > MAX_NAME_CHARACTERS or not self.name.isprintable():
            raise InvalidRequest(f"A key has a name of 1 to {MAX_NAME_CHARACTERS} visible characters.")
        if not self.scopes:
            raise InvalidRequest(f"A key has at least one scope of {', '.join(Scope)}.")


def check_tenant(tenant: str) -> TenantId:
    """``tenant``, if it can be one; raises `InvalidRequest` otherwise."""
    if not _TENANT.fullmatch(tenant):
        raise InvalidRequest("A tenant's name is 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit.")
    return TenantId(tenant)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it is kept. Times are milliseconds since the epoch."""

    id: KeyId
    tenant: TenantId
    name: str
    scopes: tuple[Scope, ...]
    digest: str = field(repr=False)
    created_at_ms: int
    expires_at_ms: int | None
    last_used_at_ms: int | None
    revoked_at_ms: int | None

    def is_good(self, now_ms: int) -> bool:
        return self.revoked_at_ms is None and (self.expires_at_ms is None or now_ms < self.expires_at_ms)

    def is_proved_by(self, token: KeyToken) -> bool:
        return hmac.compare_digest(self.digest, token.digest)


class Keys(Protocol):
    """Each call is one transaction. All block."""

    def create_key(self, new: NewKey, token: KeyToken) -> ApiKey:
        """Record a key whose token only its owner has."""
        ...

    def key(self, key: KeyId, *, tenant: TenantId | None = None) -> ApiKey:
        """Also one that is not good any more. Raises `NotFound`, with ``tenant`` also for another tenant's."""
        ...

    def keys(self, tenant: TenantId | None = None) -> tuple[ApiKey, ...]:
        """All keys ever made, of one tenant or of all, newest first."""
        ...

    def revoke_key(self, key: KeyId, *, tenant: TenantId | None = None) -> ApiKey:
        """From now on it opens nothing. Raises `NotFound`, with ``tenant`` also for another tenant's."""
        ...

    def note_key_used(self, key: KeyId) -> None: ...

    def tenant_of(self, video: VideoId) -> TenantId:
        """Whose a video is. Raises `NotFound`."""
        ...

    def has_good_keys(self) -> bool:
        """Whether anybody could come in."""
        ...
