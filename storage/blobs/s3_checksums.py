"""The CRC-32 that travels with an object or part, and that the store holds against what arrived: neither a signature nor
an etag is checked by every server.

Servers want a part's checksum again when the object is joined, so it is kept with the part, behind its etag.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

ALGORITHM = "CRC32"
_MARK = ";crc32="


def crc32_of(data: bytes) -> str:
    """As S3 writes it: four bytes, most significant first, in Base64."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def with_checksum(etag: str, checksum: str | None) -> str:
    """What is kept of a part."""
    return etag if checksum is None else f"{etag}{_MARK}{checksum}"


def told_when_joined(number: int, kept: str) -> Any:
    """A part as CompleteMultipartUpload names it."""
    etag, _, checksum = kept.partition(_MARK)
    return {"PartNumber": number, "ETag": etag, **({"ChecksumCRC32": checksum} if checksum else {})}
