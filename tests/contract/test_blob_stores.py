"""What every object store does alike: one suite over memory, a folder and a real S3.

`blobs` is the store under test, empty at the start of each test.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from botocore.compat import get_current_datetime
from minio import Minio

from storage.blobs import BlobStore, CopyParts, LocalFiles, MultipartStore, StoredPart, StreamingReads
from storage.blobs.local import LocalBlobs
from storage.blobs.memory import MemoryBlobs
from storage.blobs.s3 import S3Blobs, S3Settings
from storage.blobs.s3_checksums import crc32_of, with_checksum
from storage.errors import Conflict, InvalidRequest, NotFound, StoreUnavailable
from tests.services import S3Endpoint

MIB = 1024 * 1024
_PORT_OF_NOBODY = 9  # discard: privileged, so no test server ever listens there


class FullStore(BlobStore, MultipartStore, CopyParts, StreamingReads, Protocol):
    """What all three adapters can do."""


def s3_store(endpoint: S3Endpoint) -> S3Blobs:
    store = S3Blobs(
        S3Settings(
            bucket=f"test-{secrets.token_hex(6)}",
            endpoint_url=endpoint.url,
            access_key=endpoint.access_key,
            secret_key=endpoint.secret_key,
        )
    )
    store.ensure_bucket()
    return store


def ceph_endpoint() -> S3Endpoint:
    variables = ("LADDER_TEST_S3_URL", "LADDER_TEST_S3_ACCESS", "LADDER_TEST_S3_SECRET")
    values = [os.environ.get(name) for name in variables]
    if not all(values):
        pytest.skip(f"set {', '.join(variables)}, or run this through tests/ceph.sh")
    url, access_key, secret_key = (str(value) for value in values)
    return S3Endpoint(url=url, access_key=access_key, secret_key=secret_key)


@pytest.fixture(
    params=[
        "memory",
        "local",
        pytest.param("seaweedfs", marks=pytest.mark.integration),
        pytest.param("ceph", marks=pytest.mark.ceph),
    ]
)
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> FullStore:
    match request.param:
        case "memory":
            return MemoryBlobs()
        case "local":
            return LocalBlobs(tmp_path / "objects")
        case "seaweedfs":
            return s3_store(request.getfixturevalue("seaweedfs_endpoint"))
        case _:
            return s3_store(ceph_endpoint())


def part_bytes(store: MultipartStore) -> int:
    return max(store.min_part_bytes, 1000)


def random_bytes(size: int, seed: int = 0) -> bytes:
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)


# --- objects ---------------------------------------------------------------------------------------------------------


def test_what_was_put_is_what_is_got(blobs: FullStore) -> None:
    data = random_bytes(100_000)
    blobs.put("a-1/720p/0-abc.m4s", data, content_type="video/mp4")
    assert blobs.get("a-1/720p/0-abc.m4s") == data
    info = blobs.head("a-1/720p/0-abc.m4s")
    assert (info.key, info.size_bytes, info.content_type) == ("a-1/720p/0-abc.m4s", 100_000, "video/mp4")
    assert info.modified_at_ms is not None


def test_an_empty_object_is_an_object(blobs: FullStore) -> None:
    blobs.put("sources/empty", b"")
    assert blobs.get("sources/empty") == b""
    assert blobs.head("sources/empty").size_bytes == 0
    with blobs.open("sources/empty") as body:
        assert body.read() == b""


def test_putting_again_replaces(blobs: FullStore) -> None:
    blobs.put("a-1/poster.jpg", b"first")
    blobs.put("a-1/poster.jpg", b"second one")
    assert blobs.get("a-1/poster.jpg") == b"second one"
    assert [info.size_bytes for info in blobs.list("a-1/")] == [10]


def test_an_absent_object_is_not_found(blobs: FullStore, tmp_path: Path) -> None:
    blobs.put("a-1/x/present", b"1")
    for absent in ("a-1/absent", "a-1/x"):  # the latter is only a prefix
        with pytest.raises(NotFound):
            blobs.get(absent)
        with pytest.raises(NotFound):
            blobs.head(absent)
        with pytest.raises(NotFound):
            blobs.get_range(absent, 0, 1)
        with pytest.raises(NotFound):
            blobs.open(absent)
        with pytest.raises(NotFound):
            blobs.download(absent, tmp_path / "file")
        assert not (tmp_path / "file").exists()


def test_a_file_is_put_and_downloaded_whole(blobs: FullStore, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(random_bytes(3_000_000))
    blobs.put_file("sources/video", tmp_path / "in", content_type="video/mp4")
    blobs.download("sources/video", tmp_path / "new" / "out")
    assert (tmp_path / "new" / "out").read_bytes() == (tmp_path / "in").read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/passwd", "a//b", ".hidden", "A", "", "a b"])
def test_a_key_that_we_cannot_have_made_is_refused(blobs: FullStore, key: str) -> None:
    with pytest.raises(InvalidRequest):
        blobs.put(key, b"x")
    with pytest.raises(InvalidRequest):
        blobs.get(key)
    with pytest.raises(InvalidRequest):
        blobs.delete(key)
    with pytest.raises(InvalidRequest):
        blobs.begin_multipart(key)


# --- ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 1000), (10, 20), (999, 1000), (990, 5000)])
def test_a_range_is_half_open_and_may_reach_beyond_the_end(blobs: FullStore, start: int, stop: int) -> None:
    data = random_bytes(1000)
    blobs.put("sources/video", data)
    assert blobs.get_range("sources/video", start, stop) == data[start:stop]


@pytest.mark.parametrize(("start", "stop"), [(1000, 1001), (5000, 6000), (5, 5), (6, 5), (-1, 5)])
def test_a_range_that_starts_beyond_the_end_or_is_none_is_invalid(blobs: FullStore, start: int, stop: int) -> None:
    blobs.put("sources/video", random_bytes(1000))
    with pytest.raises(InvalidRequest):
        blobs.get_range("sources/video", start, stop)


def test_an_open_object_streams_from_where_it_is_asked_to(blobs: FullStore) -> None:
    data = random_bytes(2_000_000)
    blobs.put("sources/video", data)
    with blobs.open("sources/video", 500_000) as body:
        assert body.read(10) == data[500_000:500_010]
        assert b"".join(iter(lambda: body.read(65_536), b"")) == data[500_010:]
    with pytest.raises(InvalidRequest):
        blobs.open("sources/video", len(data))


# --- listing and deleting --------------------------------------------------------------------------------------------


def test_a_listing_is_in_key_order_and_keeps_to_its_prefix(blobs: FullStore) -> None:
    keys = ["a-1/1080p/0.m4s", "a-1/720p/0.m4s", "a-1/720p/1.m4s", "a-1/720p/10.m4s", "a-1/master.m3u8", "a-10/x", "b"]
    for key in reversed(keys):
        blobs.put(key, key.encode())
    assert [info.key for info in blobs.list("")] == sorted(keys)
    assert [info.key for info in blobs.list("a-1/")] == keys[:5]
    assert [info.key for info in blobs.list("a-1/720p/1")] == ["a-1/720p/1.m4s", "a-1/720p/10.m4s"]
    assert [info.size_bytes for info in blobs.list("a-1/720p/0")] == [len("a-1/720p/0.m4s")]
    assert list(blobs.list("c/")) == []


def test_names_that_sort_before_the_slash_are_listed_once_each(
    blobs: FullStore, request: pytest.FixtureRequest
) -> None:
    keys = ["a-1/x", "a.1", "a/1", "a0"]
    for key in keys:
        blobs.put(key, b"1")
    listed = [info.key for info in blobs.list("a")]
    if "seaweedfs" in request.node.name:
        listed.sort()  # it lists folder by folder: ``a/1`` before ``a-1/x``
    assert listed == keys


def test_a_long_listing_is_whole(blobs: FullStore) -> None:
    keys = [f"a-1/240p/{number:04d}.m4s" for number in range(1203)]  # S3 gives a thousand at a time
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: blobs.put(key, b"x"), keys))
    assert [info.key for info in blobs.list("a-1/")] == keys
    assert blobs.delete_prefix("a-1/") == len(keys)
    assert list(blobs.list("a-1/")) == []


def test_deleting_what_is_absent_is_fine(blobs: FullStore) -> None:
    blobs.delete("a-1/never/was")
    assert blobs.delete_prefix("a-1/") == 0


def test_deleting_takes_one_object_and_a_prefix_takes_all_below_it(blobs: FullStore) -> None:
    for key in ("a-1/x", "a-1/y", "a-1/z/deep", "a-10/x"):
        blobs.put(key, b"1")
    blobs.delete("a-1/x")
    assert [info.key for info in blobs.list("")] == ["a-1/y", "a-1/z/deep", "a-10/x"]
    assert blobs.delete_prefix("a-1/") == 2
    assert [info.key for info in blobs.list("")] == ["a-10/x"]
    blobs.put("a-1/z/deep", b"again")
    assert blobs.get("a-1/z/deep") == b"again"


@pytest.mark.parametrize("prefix", ["", "a-1", "../", "/"])
def test_only_a_folder_of_ours_can_be_deleted_at_once(blobs: FullStore, prefix: str) -> None:
    with pytest.raises(InvalidRequest):
        blobs.delete_prefix(prefix)


def test_a_store_that_is_there_passes_its_check(blobs: FullStore) -> None:
    blobs.check()


# --- multipart -------------------------------------------------------------------------------------------------------


def test_parts_become_one_object_at_once(blobs: FullStore) -> None:
    size = part_bytes(blobs)
    bodies = [random_bytes(size, 1), random_bytes(size, 2), random_bytes(100, 3)]
    multipart = blobs.begin_multipart("sources/video")
    parts = [blobs.put_part("sources/video", multipart, n, bodies[n - 1]) for n in (3, 1, 2)]
    assert [(part.number, part.size_bytes) for part in parts] == [(3, 100), (1, size), (2, size)]
    with pytest.raises(NotFound):
        blobs.head("sources/video")
    assert list(blobs.list("")) == []
    info = blobs.complete_multipart("sources/video", multipart, tuple(parts))
    assert (info.key, info.size_bytes) == ("sources/video", 2 * size + 100)
    assert blobs.get("sources/video") == b"".join(bodies)
    assert list(blobs.list_multiparts("sources/")) == []


def test_completing_again_changes_nothing(blobs: FullStore) -> None:
    multipart = blobs.begin_multipart("sources/video")
    parts = (blobs.put_part("sources/video", multipart, 1, b"all of it"),)
    first = blobs.complete_multipart("sources/video", multipart, parts)
    assert blobs.complete_multipart("sources/video", multipart, parts).size_bytes == first.size_bytes
    assert blobs.get("sources/video") == b"all of it"


def test_completing_from_two_threads_leaves_one_whole_object(blobs: FullStore) -> None:
    size = part_bytes(blobs)
    bodies = [random_bytes(size, n) for n in range(3)]
    multipart = blobs.begin_multipart("sources/video")
    parts = tuple(blobs.put_part("sources/video", multipart, n + 1, body) for n, body in enumerate(bodies))
    barrier = threading.Barrier(2)

    def complete() -> int:
        barrier.wait()
        return blobs.complete_multipart("sources/video", multipart, parts).size_bytes

    with ThreadPoolExecutor(2) as pool:
        assert [future.result() for future in [pool.submit(complete), pool.submit(complete)]] == [3 * size] * 2
    assert blobs.get("sources/video") == b"".join(bodies)


def test_repeating_a_part_replaces_it(blobs: FullStore) -> None:
    multipart = blobs.begin_multipart("sources/video")
    old = blobs.put_part("sources/video", multipart, 1, b"old")
    new = blobs.put_part("sources/video", multipart, 1, b"newer")
    assert old.etag != new.etag
    blobs.complete_multipart("sources/video", multipart, (new,))
    assert blobs.get("sources/video") == b"newer"


def test_no_other_bytes_are_joined_than_those_that_were_named(blobs: FullStore) -> None:
    multipart = blobs.begin_multipart("sources/video")
    old = blobs.put_part("sources/video", multipart, 1, b"old")
    blobs.put_part("sources/video", multipart, 1, b"newer")
    try:
        blobs.complete_multipart("sources/video", multipart, (old,))
    except Conflict:
        with pytest.raises(NotFound):
            blobs.head("sources/video")
    else:  # SeaweedFS keeps replaced parts, and joins the one that the etag names
        assert blobs.get("sources/video") == b"old"


def test_a_part_that_was_never_stored_cannot_be_joined(blobs: FullStore) -> None:
    multipart = blobs.begin_multipart("sources/video")
    first = blobs.put_part("sources/video", multipart, 1, b"x")
    never = StoredPart(number=2, etag=first.etag, size_bytes=1)
    with pytest.raises(Conflict):
        blobs.complete_multipart("sources/video", multipart, (never,))
    with pytest.raises(NotFound):
        blobs.head("sources/video")


def test_a_multipart_upload_that_is_gone_takes_no_parts(blobs: FullStore) -> None:
    multipart = blobs.begin_multipart("sources/video")
    part = blobs.put_part("sources/video", multipart, 1, b"x")
    blobs.abort_multipart("sources/video", multipart)
    blobs.abort_multipart("sources/video", multipart)
    with pytest.raises(NotFound):
        blobs.put_part("sources/video", multipart, 2, b"x")
    with pytest.raises(NotFound):
        blobs.complete_multipart("sources/video", multipart, (part,))
    assert list(blobs.list_multiparts("")) == []


def test_no_parts_or_the_same_number_twice_is_invalid(blobs: FullStore) -> None:
    multipart = blobs.begin_multipart("sources/video")
    part = blobs.put_part("sources/video", multipart, 1, b"x")
    with pytest.raises(InvalidRequest):
        blobs.complete_multipart("sources/video", multipart, ())
    with pytest.raises(InvalidRequest):
        blobs.complete_multipart("sources/video", multipart, (part, part))
    with pytest.raises(InvalidRequest):
        blobs.put_part("sources/video", multipart, 0, b"x")


def test_parts_are_copied_from_objects_and_joined_with_sent_ones(blobs: FullStore) -> None:
    first, second = os.urandom(6 * MIB + 5), os.urandom(5 * MIB)
    blobs.put("parts/first", first)
    blobs.put("parts/second", second)
    upload = blobs.begin_multipart("sources/joined")
    parts = (
        blobs.copy_part("sources/joined", upload, 1, "parts/first", 3, len(first)),
        blobs.put_part("sources/joined", upload, 2, second),
        blobs.copy_part("sources/joined", upload, 3, "parts/second", 0, 7),
    )
    assert [part.size_bytes for part in parts] == [len(first) - 3, len(second), 7]
    blobs.complete_multipart("sources/joined", upload, parts)
    assert blobs.get("sources/joined") == first[3:] + second + second[:7]
    assert blobs.get("parts/first") == first


def test_a_copied_part_replaces_one_of_its_number(blobs: FullStore) -> None:
    blobs.put("parts/first", b"fish")
    upload = blobs.begin_multipart("sources/joined")
    blobs.put_part("sources/joined", upload, 1, b"bird")
    part = blobs.copy_part("sources/joined", upload, 1, "parts/first", 0, 4)
    blobs.complete_multipart("sources/joined", upload, (part,))
    assert blobs.get("sources/joined") == b"fish"


def test_what_is_not_there_cannot_be_copied(blobs: FullStore) -> None:
    blobs.put("parts/first", b"fish")
    upload = blobs.begin_multipart("sources/joined")
    with pytest.raises(NotFound):
        blobs.copy_part("sources/joined", upload, 1, "parts/absent", 0, 4)
    for start, stop in ((0, 5), (2, 2), (-1, 3), (4, 6)):
        with pytest.raises(InvalidRequest):
            blobs.copy_part("sources/joined", upload, 1, "parts/first", start, stop)
    with pytest.raises(InvalidRequest):
        blobs.copy_part("sources/joined", upload, 0, "parts/first", 0, 4)


def test_unfinished_multipart_uploads_are_listed(blobs: FullStore) -> None:
    ids = {key: blobs.begin_multipart(key) for key in ("sources/one", "sources/two", "tails/three")}
    for key, multipart in ids.items():
        blobs.put_part(key, multipart, 1, b"x")
    assert sorted(blobs.list_multiparts("sources/")) == [(key, ids[key]) for key in ("sources/one", "sources/two")]
    assert len(list(blobs.list_multiparts(""))) == 3


def test_parts_may_be_put_from_many_threads(blobs: FullStore) -> None:
    size = part_bytes(blobs)
    bodies = [random_bytes(size, n) for n in range(6)]
    multipart = blobs.begin_multipart("sources/video")
    with ThreadPoolExecutor(6) as pool:
        parts = tuple(pool.map(blobs.put_part, itertools.repeat("sources/video"), itertools.repeat(multipart),
                               range(1, 7), bodies))  # fmt: skip
    blobs.complete_multipart("sources/video", multipart, parts)
    assert blobs.get("sources/video") == b"".join(bodies)


# --- what only some stores have --------------------------------------------------------------------------------------


def test_powers_are_asked_for_by_type(blobs: FullStore) -> None:
    assert isinstance(blobs, MultipartStore)
    assert isinstance(blobs, StreamingReads)
    assert isinstance(blobs, LocalFiles) == isinstance(blobs, LocalBlobs)


def test_a_local_object_is_a_file_that_tools_may_read(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    blobs.put("a-1/poster.jpg", b"jpeg")
    assert blobs.local_path("a-1/poster.jpg").read_bytes() == b"jpeg"
    with pytest.raises(NotFound):
        blobs.local_path("a-1")


def test_a_local_join_that_was_cut_off_goes_on_where_it_stopped(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    bodies = [random_bytes(5000, n) for n in range(4)]
    multipart = blobs.begin_multipart("sources/video")
    parts = tuple(blobs.put_part("sources/video", multipart, n + 1, body) for n, body in enumerate(bodies))
    folder = tmp_path / ".multipart" / multipart
    # As a crash leaves it: one part joined and deleted, another joined but not yet deleted, a third half written.
    (folder / f"00001-{parts[0].etag}").unlink()
    (folder / "joined").write_bytes(bodies[0] + bodies[1] + bodies[2][:1234])
    assert blobs.complete_multipart("sources/video", multipart, parts).size_bytes == 20_000
    assert blobs.get("sources/video") == b"".join(bodies)


def test_a_local_part_that_was_replaced_leaves_nothing_but_what_is_in_its_place(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    multipart = blobs.begin_multipart("sources/video")
    for body in (b"first", b"old", b"newer"):
        part = blobs.put_part("sources/video", multipart, 1, body)
    folder = tmp_path / ".multipart" / multipart
    assert sorted(path.read_bytes() for path in folder.glob("0*")) == [b"", b"newer"]
    assert (folder / "data").read_bytes() == b"first"
    blobs.complete_multipart("sources/video", multipart, (part,))
    assert blobs.get("sources/video") == b"newer"


def test_a_local_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "objects")
    with pytest.raises(FileNotFoundError):
        blobs.put_file("sources/video", tmp_path / "absent")
    with pytest.raises(TypeError):
        blobs.put("sources/video", "text")  # type: ignore[arg-type]  # fails in the middle of writing
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []


def test_an_s3_that_does_not_answer_is_unavailable() -> None:
    blobs = S3Blobs(
        S3Settings(
            bucket="none",
            endpoint_url=f"http://127.0.0.1:{_PORT_OF_NOBODY}",
            access_key="a",
            secret_key="b",
            attempts=1,
        )
    )
    with pytest.raises(StoreUnavailable):
        blobs.check()
    with pytest.raises(StoreUnavailable):
        blobs.get("sources/video")
    with pytest.raises(StoreUnavailable):
        list(blobs.list("a-1/"))


@pytest.mark.integration
def test_a_missing_bucket_and_refused_keys_are_unavailable(seaweedfs_endpoint: S3Endpoint) -> None:
    def store(bucket: str, secret_key: str) -> S3Blobs:
        return S3Blobs(
            S3Settings(
                bucket=bucket,
                endpoint_url=seaweedfs_endpoint.url,
                access_key=seaweedfs_endpoint.access_key,
                secret_key=secret_key,
            )
        )

    with pytest.raises(StoreUnavailable):
        store("never-made", seaweedfs_endpoint.secret_key).check()
    with pytest.raises(StoreUnavailable):
        store("never-made", "wrong").get("sources/video")


@pytest.mark.integration
def test_making_the_bucket_again_is_fine(seaweedfs_endpoint: S3Endpoint) -> None:
    store = s3_store(seaweedfs_endpoint)
    store.put("sources/video", b"x")
    store.ensure_bucket()
    assert store.get("sources/video") == b"x"


def minio_client(endpoint: S3Endpoint) -> Minio:
    return Minio(
        urlsplit(endpoint.url).netloc,
        access_key=endpoint.access_key,
        secret_key=endpoint.secret_key,
        secure=endpoint.url.startswith("https"),
    )


@pytest.mark.integration
def test_an_independent_client_reads_what_we_wrote_and_we_what_it_wrote(seaweedfs_endpoint: S3Endpoint) -> None:
    other = minio_client(seaweedfs_endpoint)
    bucket = f"test-{secrets.token_hex(6)}"
    other.make_bucket(bucket)
    ours = S3Blobs(
        S3Settings(
            bucket=bucket,
            endpoint_url=seaweedfs_endpoint.url,
            access_key=seaweedfs_endpoint.access_key,
            secret_key=seaweedfs_endpoint.secret_key,
        )
    )
    data = random_bytes(6 * MIB)
    multipart = ours.begin_multipart("sources/ours", content_type="video/mp4")
    parts = [
        ours.put_part("sources/ours", multipart, n + 1, body)
        for n, body in enumerate((data[: 5 * MIB], data[5 * MIB :]))
    ]
    ours.complete_multipart("sources/ours", multipart, tuple(parts))
    answer = other.get_object(bucket, "sources/ours")
    try:
        assert answer.read() == data
        assert answer.headers["Content-Type"] == "video/mp4"
    finally:
        answer.close()
        answer.release_conn()

    other.put_object(bucket, "sources/theirs", io.BytesIO(data), len(data), content_type="video/mp4", part_size=5 * MIB)
    assert ours.get("sources/theirs") == data
    assert ours.get_range("sources/theirs", 5 * MIB - 1, 5 * MIB + 1) == data[5 * MIB - 1 : 5 * MIB + 1]
    assert [(info.key, info.size_bytes) for info in ours.list("sources/")] == [
        ("sources/ours", len(data)),
        ("sources/theirs", len(data)),
    ]


# --- checksums that travel to S3 -------------------------------------------------------------------------------------


@pytest.mark.integration
def test_what_is_damaged_on_its_way_to_s3_is_refused_by_the_store(seaweedfs_endpoint: S3Endpoint) -> None:
    store = s3_store(seaweedfs_endpoint)
    damaged: list[str] = []

    def damage(request: Any, **_: object) -> None:
        damaged.append(request.url)
        request.body = b"?" * 100

    for event in ("before-send.s3.UploadPart", "before-send.s3.PutObject"):
        store._client.meta.events.register(event, damage)
    multipart = store.begin_multipart("sources/video")
    with pytest.raises(StoreUnavailable):
        store.put_part("sources/video", multipart, 1, b"x" * 100)
    with pytest.raises(StoreUnavailable):
        store.put("tails/video/1-100", b"x" * 100)
    assert len(damaged) >= 2
    with pytest.raises(NotFound):
        store.head("tails/video/1-100")


@pytest.mark.integration
def test_a_part_with_another_checksum_than_was_noted_is_not_joined(seaweedfs_endpoint: S3Endpoint) -> None:
    store = s3_store(seaweedfs_endpoint)
    multipart = store.begin_multipart("sources/video")
    part = store.put_part("sources/video", multipart, 1, b"x" * 100)
    other = with_checksum(part.etag.partition(";")[0], crc32_of(b"y" * 100))
    with pytest.raises((Conflict, StoreUnavailable)):
        store.complete_multipart("sources/video", multipart, (StoredPart(number=1, etag=other, size_bytes=100),))
    with pytest.raises(NotFound):
        store.head("sources/video")
    assert store.complete_multipart("sources/video", multipart, (part,)).size_bytes == 100


@pytest.mark.integration
def test_a_store_that_knows_no_checksums_can_be_spared_them(seaweedfs_endpoint: S3Endpoint) -> None:
    known = s3_store(seaweedfs_endpoint)
    plain = S3Blobs(
        S3Settings(
            bucket=known._bucket,
            endpoint_url=seaweedfs_endpoint.url,
            access_key=seaweedfs_endpoint.access_key,
            secret_key=seaweedfs_endpoint.secret_key,
            checksums=False,
        )
    )
    multipart = plain.begin_multipart("sources/video")
    part = plain.put_part("sources/video", multipart, 1, b"x" * 100)
    assert "crc32" not in part.etag
    assert plain.complete_multipart("sources/video", multipart, (part,)).size_bytes == 100


@pytest.mark.integration
@pytest.mark.parametrize("wrong_by_h", [1, -1])
def test_a_machine_whose_clock_is_wrong_goes_by_the_clock_of_its_s3(
    seaweedfs_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch, wrong_by_h: int
) -> None:
    store = s3_store(seaweedfs_endpoint)

    def wrong_time(remove_tzinfo: bool = True) -> datetime:
        return get_current_datetime(remove_tzinfo) + timedelta(hours=wrong_by_h)

    for module in ("botocore.auth", "storage.blobs.s3_time"):
        monkeypatch.setattr(f"{module}.get_current_datetime", wrong_time)
    store.put("a-1/first", b"put")
    assert store.get("a-1/first") == b"put"
    monkeypatch.undo()  # it is set right, and what was learned is wrong
    assert store.head("a-1/first").size_bytes == 3
    assert b"".join(store.open("a-1/first")) == b"put"
