"""The Upload-Metadata field: parsing, and what we take from it. Pure.

Nothing a client says here becomes a key, a path or another header field.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from storage.errors import InvalidRequest
from storage.jobs import GRANTED_LANES, Lane
from storage.media.encryption import Encryption
from upload_api.errors import WrongFile

MAX_METADATA_BYTES = 16 * 1024
MAX_TITLE_CHARACTERS = 200
MAX_FILENAME_CHARACTERS = 255
MAX_FILETYPE_CHARACTERS = 100
DIGEST_KEY = "repr-digest"
UNTITLED = "Untitled"


def parse_metadata(raw: str) -> dict[str, bytes]:
    """Key → decoded value of an Upload-Metadata field; raises `InvalidRequest` for a malformed one.

    «one or more comma-separated key-value pairs […] separated by a space. The key MUST NOT contain spaces and commas
    and MUST NOT be empty. […] the value MUST be Base64 encoded. All keys MUST be unique. The value MAY be empty.»
    """
    if len(raw) > MAX_METADATA_BYTES:
        raise InvalidRequest(f"Upload-Metadata is longer than {MAX_METADATA_BYTES} bytes.")
    values: dict[str, bytes] = {}
    if not raw.strip():
        return values
    for pair in raw.split(","):
        key, _, encoded = pair.strip().partition(" ")
        if not key or not key.isprintable():
            raise InvalidRequest("Upload-Metadata has an empty key.")
        if key in values:
            raise InvalidRequest("Upload-Metadata names a key twice.", key=key[:80])
        try:
            values[key] = base64.b64decode(encoded.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise InvalidRequest("A value in Upload-Metadata is not Base64.", key=key[:80]) from error
    return values


def announced(digest: bytes) -> str:
    """Metadata that says which file is to come: its SHA-256."""
    return f"{DIGEST_KEY} {base64.b64encode(digest).decode()}"


def check_file(raw: str | None, digest: str) -> None:
    """Raises `WrongFile` if the metadata announced another file than the one with this SHA-256, in hexadecimal digits."""
    promised = parse_metadata(raw or "").get(DIGEST_KEY)
    if promised is not None and promised.hex() != digest:
        raise WrongFile(reason_code="digest_mismatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a client says about its file, made harmless. ``asked_lane``, ``encryption`` None: it does not say."""

    title: str
    filename: str | None
    lane: Lane
    filetype: str | None = None
    asked_lane: Lane | None = None
    encryption: Encryption | None = None


def read_wishes(metadata: Mapping[str, bytes]) -> Wishes:
    """Title, file name, lane and encryption. Raises `InvalidRequest` for a ``priority`` that nobody grants, and for an
    ``encryption`` that nobody knows."""
    filename = _filename(metadata)
    stem = filename.rpartition(".")[0] or filename if filename else ""
    title = _line(metadata.get("title", b""), MAX_TITLE_CHARACTERS) or stem[:MAX_TITLE_CHARACTERS] or UNTITLED
    lane = _lane(metadata)
    filetype = _line(metadata.get("filetype") or metadata.get("type") or b"", MAX_FILETYPE_CHARACTERS) or None
    return Wishes(
        title=title,
        filename=filename,
        lane=lane or Lane.STANDARD,
        filetype=filetype,
        asked_lane=lane,
        encryption=_encryption(metadata),
    )


def _filename(metadata: Mapping[str, bytes]) -> str | None:
    raw = metadata.get("filename") or metadata.get("name") or b""
    last = raw.replace(b"\\", b"/").rpartition(b"/")[2]  # some browsers and tools send a path
    return _line(last, MAX_FILENAME_CHARACTERS) or None


def _lane(metadata: Mapping[str, bytes]) -> Lane | None:
    wanted = metadata.get("priority", b"").decode("ascii", "replace").strip()
    if not wanted:
        return None
    if wanted not in GRANTED_LANES:
        raise InvalidRequest(f"The priority is one of {', '.join(GRANTED_LANES)}.", priority=wanted[:40])
    return Lane(wanted)


def _encryption(metadata: Mapping[str, bytes]) -> Encryption | None:
    wanted = metadata.get("encryption", b"").decode("ascii", "replace").strip()
    if not wanted:
        return None
    if wanted not in list(Encryption):
        raise InvalidRequest(f"The encryption is one of {', '.join(Encryption)}.", encryption=wanted[:40])
    return Encryption(wanted)


def tidy_line(text: str, limit: int) -> str:
    """``text`` as one line without control characters, of at most ``limit`` characters."""
    clean = "".join(" " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else character for character in text)
    return " ".join(clean.split())[:limit].strip()


def _line(raw: bytes, limit: int) -> str:
    return tidy_line(raw.decode("utf-8", "replace"), limit)
