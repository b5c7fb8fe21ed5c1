"""The whole way of one video in this process: no broker, no services. What ``fishladder encode`` does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from storage.blobs import BlobStore, LocalFiles
from storage.catalogue import Asset, Catalogue, NewUpload, Video
from storage.content_types import content_type_of
from storage.ids import DEFAULT_TENANT, VideoId
from storage.jobs import Lane
from storage.keys import rendition_key
from storage.lifecycle import SETTLED
from storage.media.ladder import RECIPE
from storage.subtitles import keys_of
from workers.parts import RunnerParts
from workers.pool import WorkerPool

LOOK_S = 0.5
UPLOAD_LEASE_MS = 3_600_000
MANIFESTS_LAST = ("master.m3u8", "manifest.mpd")


def ingest(catalogue: Catalogue, blobs: BlobStore, file: Path, *, title: str | None = None) -> VideoId:
    """Take ``file`` in as if it had been uploaded: its bytes in the store, its video to be inspected."""
    size_bytes = file.stat().st_size
    upload = catalogue.create_upload(
        NewUpload(
            tenant=DEFAULT_TENANT,
            length_bytes=size_bytes,
            metadata_raw=None,
            title=title or file.stem,
            filename=file.name,
            lane=Lane.INTERACTIVE,
        )
    )
    token = catalogue.acquire_upload(upload.id, "ingest", UPLOAD_LEASE_MS)
    blobs.put_file(upload.source_key, file)
    catalogue.record_progress(upload.id, token, offset_bytes=size_bytes, new_parts=(), tail=None)
    catalogue.complete_upload(upload.id, token, recipe=RECIPE)
    return upload.video


def encode_inline(
    parts: RunnerParts,
    video: VideoId,
    *,
    threads: int = 1,
    on_progress: Callable[[Video], None] | None = None,
) -> Video:
    """Run the jobs of ``parts.catalogue`` in ``threads`` threads until ``video`` is settled, and return it as it is then.

    ``on_progress`` is called in the calling thread whenever state or progress changed. Interrupting (Ctrl-C) hands back
    what runs, so that the same catalogue can go on later.
    """
    told: tuple[object, ...] = ()
    with WorkerPool(parts, threads=threads) as pool:
        rung = 0
        while True:
            seen = parts.catalogue.video(video)
            if on_progress is not None and (seen.state, seen.progress) != told:
                told = (seen.state, seen.progress)
                on_progress(seen)
            if seen.state in SETTLED:
                return seen
            rung = pool.bell.wait(rung, LOOK_S)


def export_presentation(catalogue: Catalogue, blobs: BlobStore, video: VideoId, folder: Path) -> tuple[Path, ...]:
    """Lay out what is published of ``video`` below ``folder`` for any web server; the files made, manifests last.

    The same names as under ``/v/{id}/``. Hard links where the store's files are on the same filesystem: they cost no room,
    and nobody writes to an object twice.
    """
    asset = catalogue.asset(catalogue.video(video).asset)
    made = []
    for name, key in _layout(asset):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _lay_down(blobs, key, target)
        made.append(target)
    return tuple(made)


def _layout(asset: Asset) -> Iterator[tuple[str, str]]:
    """(name, key) of everything that players may ask for, so that no file names one that is not there yet."""
    for rendition in asset.renditions:
        objects = [segment.name for segment in rendition.segments]
        if rendition.init_name is not None:
            objects.insert(0, rendition.init_name)
        for name in objects:
            yield f"{rendition.name}/{name}", rendition_key(asset.id, rendition.name, name)
    for row in asset.subtitles:
        if row.stored is not None:
            for key, _ in keys_of(asset.id, row.stored):
                yield key.removeprefix(f"{asset.id}/"), key
    for published in sorted(asset.names, key=lambda named: (named.name in MANIFESTS_LAST, _is_manifest(named.name))):
        yield published.name, published.key


def _is_manifest(name: str) -> bool:
    return content_type_of(name).partition("/")[0] != "image"


def _lay_down(blobs: BlobStore, key: str, target: Path) -> None:
    target.unlink(missing_ok=True)
    if not isinstance(blobs, LocalFiles):
        blobs.download(key, target)
        return
    stored = blobs.local_path(key)
    try:
        os.link(stored, target)
    except OSError:  # another filesystem, or one without links
        shutil.copyfile(stored, target)
