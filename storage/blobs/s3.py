"""Objects in any S3: AWS, Ceph RGW, SeaweedFS, Garage … The only module that knows boto3.

Relies on as little as possible of what S3 servers differ in: etags are opaque, no conditional writes. Checksums travel as
plain headers, which servers that do not know them pass over. What was completed is looked at again before we call it
stored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from storage.blobs import BlobInfo, StoredPart
from storage.blobs.checks import (
    beyond_the_end,
    checked_copy,
    checked_folder,
    checked_number,
    checked_parts,
    checked_prefix,
    checked_range,
)
from storage.blobs.files import written_whole
from storage.blobs.s3_checksums import ALGORITHM, crc32_of, told_when_joined, with_checksum
from storage.blobs.s3_errors import translated
from storage.blobs.s3_reads import S3Body
from storage.blobs.s3_time import go_by_their_clock
from storage.content_types import OCTETS
from storage.errors import Conflict, NotFound, StoreUnavailable
from storage.keys import checked

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MIB = 1024 * 1024
_DELETE_BATCH = 1000  # the most that one DeleteObjects call takes
_READABLE_AFTER_S = (0.1, 0.4, 1.5)  # some servers answer a completion before the object can be read


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Which bucket, and how to talk to it."""

    bucket: str
    endpoint_url: str | None = None  # None: AWS
    access_key: str | None = None  # None: boto3's own chain (environment, profile, instance role)
    secret_key: str | None = field(default=None, repr=False)
    region: str = "us-east-1"
    path_style: bool = True  # ``host/bucket/key``: what a server without wildcard DNS needs
    connections: int = 64  # at once, per process: parallel S3 parts and segment reads
    connect_timeout_s: float = 5
    read_timeout_s: float = 60  # between two reads; completing a big multipart upload may be silent that long
    attempts: int = 4  # per call, with growing pauses between them
    checksums: bool = True  # a CRC-32 with every object and part, for the store to check


class S3Blobs:
    """Safe for any number of threads. Make one per process, after a fork and not before it."""

    min_part_bytes = 5 * _MIB
    max_parts = 10_000
    max_copy_bytes = 5 * 1024**3

    def __init__(self, settings: S3Settings):
        self._bucket = settings.bucket
        self._region = settings.region
        self._checksums = settings.checksums
        self._client = open_client(settings, attempts=settings.attempts, read_timeout_s=settings.read_timeout_s)
        # A readiness probe must not hang as long as an upload may.
        self._probe = open_client(settings, attempts=1, read_timeout_s=min(settings.read_timeout_s, 5))
        self._transfer = TransferConfig(
            multipart_threshold=64 * _MIB, multipart_chunksize=16 * _MIB, max_concurrency=4, use_threads=True
        )

    def ensure_bucket(self) -> None:
        """Make the bucket unless it is there. Two processes may do so at once."""
        try:
            with translated(self._bucket):
                self._client.head_bucket(Bucket=self._bucket)
            return
        except (NotFound, StoreUnavailable):
            pass  # absent, or a server that will not say: creating it tells the two apart
        where: Any = (
            {} if self._region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        )
        with translated(self._bucket, fine=("BucketAlreadyOwnedByYou", "BucketAlreadyExists")):
            self._client.create_bucket(Bucket=self._bucket, **where)

    def put(self, key: str, data: bytes, *, content_type: str = OCTETS) -> None:
        with translated(checked(key)):
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=data, ContentType=content_type, **self._checksum(data)
            )

    def put_file(self, key: str, path: Path, *, content_type: str = OCTETS) -> None:
        with path.open("rb") as file, translated(checked(key)):
            self._client.upload_fileobj(
                file, self._bucket, key, ExtraArgs={"ContentType": content_type}, Config=self._transfer
            )

    def get(self, key: str) -> bytes:
        with self.open(key) as body:
            return body.read()

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        checked_range(start, stop)
        with self._open(key, f"bytes={start}-{stop - 1}", start)[1] as body:
            return body.read()

    def open(self, key: str, start: int = 0) -> BinaryIO:
        if start < 0:
            raise beyond_the_end(key, start)
        return self._open(key, f"bytes={start}-" if start else None, start)[1]

    def open_sized(self, key: str) -> tuple[int, BinaryIO]:
        return self._open(key, None, 0)

    def download(self, key: str, path: Path) -> None:
        with written_whole(path) as file, translated(checked(key)):
            self._client.download_fileobj(self._bucket, key, file, Config=self._transfer)

    def head(self, key: str) -> BlobInfo:
        with translated(checked(key)):
            found = self._client.head_object(Bucket=self._bucket, Key=key)
        return BlobInfo(
            key=key,
            size_bytes=found["ContentLength"],
            content_type=found.get("ContentType"),
            modified_at_ms=round(found["LastModified"].timestamp() * 1000),
        )

    def delete(self, key: str) -> None:
        with translated(checked(key), fine=("NoSuchKey",)):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=checked_prefix(prefix)
        )
        with translated(prefix):
            for page in pages:
                for found in page.get("Contents", ()):
                    yield BlobInfo(
                        key=found["Key"],
                        size_bytes=found["Size"],
                        modified_at_ms=round(found["LastModified"].timestamp() * 1000),
                    )

    def delete_prefix(self, prefix: str) -> int:
        checked_folder(prefix)
        deleted = 0
        batch: list[str] = []
        for found in self.list(prefix):
            batch.append(found.key)
            if len(batch) == _DELETE_BATCH:
                deleted += self._delete_all(batch)
                batch = []
        return deleted + self._delete_all(batch)

    def check(self) -> None:
        try:
            with translated(self._bucket):
                self._probe.head_bucket(Bucket=self._bucket)
        except NotFound as error:
            raise StoreUnavailable("The bucket is not there.", bucket=self._bucket) from error

    def begin_multipart(self, key: str, *, content_type: str = OCTETS) -> str:
        with translated(checked(key)):
            begun = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType=content_type, **self._checksum_algorithm()
            )
        return begun["UploadId"]

    def put_part(self, key: str, multipart_id: str, number: int, data: bytes) -> StoredPart:
        checked_number(number, self.max_parts)
        checksum = self._checksum(data)
        with translated(checked(key)):
            stored = self._client.upload_part(
                Bucket=self._bucket, Key=key, UploadId=multipart_id, PartNumber=number, Body=data, **checksum
            )
        etag = with_checksum(stored["ETag"], checksum.get("ChecksumCRC32"))
        return StoredPart(number=number, etag=etag, size_bytes=len(data))

    def copy_part(self, key: str, multipart_id: str, number: int, source_key: str, start: int, stop: int) -> StoredPart:
        checked_copy(number, start, stop, max_parts=self.max_parts, max_bytes=self.max_copy_bytes)
        if self.head(source_key).size_bytes < stop:  # servers differ in what they make of such a range
            raise beyond_the_end(source_key, stop)
        with translated(checked(key)):
            copied = self._client.upload_part_copy(
                Bucket=self._bucket,
                Key=key,
                UploadId=multipart_id,
                PartNumber=number,
                CopySource={"Bucket": self._bucket, "Key": source_key},
                CopySourceRange=f"bytes={start}-{stop - 1}",
            )
        result = copied["CopyPartResult"]
        etag = with_checksum(result["ETag"], result.get("ChecksumCRC32"))
        return StoredPart(number=number, etag=etag, size_bytes=stop - start)

    def complete_multipart(self, key: str, multipart_id: str, parts: tuple[StoredPart, ...]) -> BlobInfo:
        ordered, size = checked_parts(parts, min_part_bytes=self.min_part_bytes, max_parts=self.max_parts)
        try:
            with translated(checked(key)):
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=multipart_id,
                    MultipartUpload={"Parts": [told_when_joined(part.number, part.etag) for part in ordered]},
                )
        except (NotFound, StoreUnavailable) as error:
            return self._joined_before(key, multipart_id, size, error)
        info = self._head_until_readable(key)
        if info.size_bytes != size:
            raise Conflict(f"The store joined the parts to {info.size_bytes} bytes, not {size}.", key=key)
        return info

    def abort_multipart(self, key: str, multipart_id: str) -> None:
        with translated(checked(key), fine=("NoSuchUpload", "NoSuchKey")):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=multipart_id)

    def list_multiparts(self, prefix: str) -> Iterator[tuple[str, str]]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=checked_prefix(prefix)
        )
        with translated(prefix):
            for page in pages:
                for found in page.get("Uploads", ()):
                    yield found["Key"], found["UploadId"]

    def _open(self, key: str, bytes_range: str | None, start: int) -> tuple[int, BinaryIO]:
        """How many bytes come, and they."""
        wanted: Any = {"Range": bytes_range} if bytes_range else {}
        with translated(checked(key)):
            found = self._client.get_object(Bucket=self._bucket, Key=key, **wanted)
        if bytes_range and found["ResponseMetadata"]["HTTPStatusCode"] != 206:
            found["Body"].close()
            raise StoreUnavailable("The object store ignores byte ranges.", key=key)
        return found["ContentLength"], S3Body(key, found["Body"]).buffered()

    def _checksum(self, data: bytes) -> Any:
        return {"ChecksumCRC32": crc32_of(data)} if self._checksums else {}

    def _checksum_algorithm(self) -> Any:
        return {"ChecksumAlgorithm": ALGORITHM} if self._checksums else {}

    def _delete_all(self, keys: Sequence[str]) -> int:
        if not keys:
            return 0
        with translated(keys[0]):
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
        errors = answer.get("Errors", [])
        if errors:
            raise StoreUnavailable(f"{len(errors)} objects could not be deleted.", key=errors[0].get("Key"))
        return len(keys)

    def _joined_before(self, key: str, multipart_id: str, size: int, error: NotFound | StoreUnavailable) -> BlobInfo:
        """What a failed completion means. The object may be there whole: joined by a call whose answer was lost (boto3
        repeats those too) or by one beside us. If not, the upload may be gone, which Ceph 16 calls an internal error."""
        try:
            info = self.head(key)
        except NotFound:
            pass
        else:
            if info.size_bytes == size:
                return info
        if isinstance(error, StoreUnavailable):
            with translated(key):
                self._client.list_parts(Bucket=self._bucket, Key=key, UploadId=multipart_id, MaxParts=1)
        raise error

    def _head_until_readable(self, key: str) -> BlobInfo:
        for pause_s in _READABLE_AFTER_S:
            try:
                return self.head(key)
            except NotFound:
                time.sleep(pause_s)
        try:
            return self.head(key)
        except NotFound as error:
            raise StoreUnavailable("The store says it joined the object, but does not have it.", key=key) from error


def open_client(settings: S3Settings, *, attempts: int, read_timeout_s: float) -> S3Client:
    """A client that talks to any S3 server in the way that most of them understand."""
    config = Config(
        region_name=settings.region,
        connect_timeout=settings.connect_timeout_s,
        read_timeout=read_timeout_s,
        max_pool_connections=settings.connections,
        retries={"mode": "standard", "total_max_attempts": attempts},
        tcp_keepalive=True,
        s3={"addressing_style": "path" if settings.path_style else "virtual"},
        # boto3's newer default, a CRC32 trailer on every body, is refused or stored as content by servers that do not
        # know it. Signature version 4 covers the SHA-256 of a body over plain HTTP; over HTTPS, TLS does.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    # A session of our own: boto3's default one is not safe to make clients with from several threads.
    session = boto3.session.Session(
        aws_access_key_id=settings.access_key, aws_secret_access_key=settings.secret_key, region_name=settings.region
    )
    client = session.client("s3", endpoint_url=settings.endpoint_url, config=config)
    go_by_their_clock(client)
    return client
