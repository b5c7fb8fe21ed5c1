"""The checksum and checksum-trailer extensions: what a client promises of a body, and whether the body keeps it. Pure.

A body that was promised is all or nothing: its parts go to the store as they come, but none is recorded before the
digest matches (`SourceWriter`), so a wrong body costs no staging and leaves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from storage.errors import InvalidRequest
from upload_api.errors import ChecksumMismatch

FIELD = "upload-checksum"


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc32:
    """CRC-32 as zlib and PNG have it, its four bytes most significant first, as the other tus servers send it."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


# Against broken networks, not against attackers: «The Server MUST support at least the SHA1 checksum algorithm».
_HASHES: dict[str, Callable[[], _Hash]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "crc32": _Crc32,
}
ALGORITHMS = tuple(_HASHES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """``checksum`` None: it comes in the trailer."""

    checksum: Checksum | None

    @property
    def algorithms(self) -> tuple[str, ...]:
        return ALGORITHMS if self.checksum is None else (self.checksum.algorithm,)


def parse_checksum(value: str) -> Checksum:
    """«The Upload-Checksum header MUST consist of the name of the used checksum algorithm and the Base64 encoded
    checksum separated by a space.» Raises `InvalidRequest`, also for an algorithm that we do not know."""
    algorithm, _, encoded = value.strip().partition(" ")
    if algorithm not in _HASHES:
        raise InvalidRequest(f"The checksum algorithms here are {', '.join(ALGORITHMS)}.", algorithm=algorithm[:40])
    try:
        digest = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidRequest("Upload-Checksum is an algorithm, a space and a Base64 value.") from error
    if len(digest) != len(_HASHES[algorithm]().digest()):
        raise InvalidRequest("The checksum has not the length of its algorithm.", algorithm=algorithm)
    return Checksum(algorithm=algorithm, digest=digest)


def parse_promise(fields: Mapping[str, str], *, trailers: bool) -> Promise | None:
    """What a request promises of its body. ``trailers``: whether the server that runs us hands them out.

    Raises `InvalidRequest`: for a malformed field, for one that is announced in the trailer as well, and for a trailer
    that could not be checked.
    """
    announced = FIELD in (name.strip().lower() for name in fields.get("trailer", "").split(","))
    said = fields.get(FIELD)
    if not announced:
        return None if said is None else Promise(checksum=parse_checksum(said))
    if said is not None:
        raise InvalidRequest("Upload-Checksum is either a header or a trailer, not both.")
    if not trailers or "transfer-encoding" not in fields:
        raise InvalidRequest("A checksum in the trailer cannot be read here; send it as a header.")
    return Promise(checksum=None)


class Digests:
    """The digests that may be asked for; `hashing.Hashing` feeds them as the body passes."""

    def __init__(self, promise: Promise | None) -> None:
        self._hashes = {name: _HASHES[name]() for name in promise.algorithms} if promise is not None else {}

    @property
    def hashes(self) -> tuple[_Hash, ...]:
        return tuple(self._hashes.values())

    def check(self, promise: Promise, trailer: str | None) -> None:
        """Raises `ChecksumMismatch`, or `InvalidRequest` if the announced trailer did not come."""
        checksum = promise.checksum
        if checksum is None:
            if trailer is None:
                raise InvalidRequest("The trailer with the Upload-Checksum did not come.")
            checksum = parse_checksum(trailer)
        if not hmac.compare_digest(self._hashes[checksum.algorithm].digest(), checksum.digest):
            raise ChecksumMismatch(algorithm=checksum.algorithm)
