"""A file through the whole pipeline in this process: real tools, a store in a folder, a catalogue in memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from storage.blobs import BlobStore
from storage.blobs.local import LocalBlobs
from storage.catalogue import Asset, Video
from storage.catalogue.sql import SqlCatalogue
from storage.jobs import JobKind
from storage.lifecycle import VideoState
from workers.ffmpeg.process import Tools
from workers.inline import encode_inline, export_presentation, ingest
from workers.keys import KeyCabinet
from workers.parts import RunnerParts
from workers.planning.policy import FAST_POLICY, Policy
from workers.settings import WorkerSettings
from workers.sources import SourceCache
from workers.steps.audio import audio
from workers.steps.encode import encode
from workers.steps.inspect import inspect
from workers.steps.publish import publish
from workers.steps.subtitles import subtitles
from workers.steps.thumbnails import thumbnails


def through_the_pipeline(
    file: Path, folder: Path, tools: Tools, policy: Policy = FAST_POLICY, *, threads: int = 2
) -> tuple[Video, Asset]:
    """The video that comes of ``file``, once it is settled, and its asset. ``folder``: for everything that is made; what is
    published of a video that is ready lies in its ``site``."""
    return through_the_pipeline_of(SqlCatalogue.in_memory(), file, folder, tools, policy, threads=threads)


def through_the_pipeline_of(
    catalogue: SqlCatalogue,
    file: Path,
    folder: Path,
    tools: Tools,
    policy: Policy = FAST_POLICY,
    *,
    threads: int = 2,
    keys: KeyCabinet | None = None,
    blobs: BlobStore | None = None,
) -> tuple[Video, Asset]:
    """The same with a catalogue that is there already, and with keys to encrypt by. The store is in ``folder / "store"``
    unless it is given."""
    blobs = blobs if blobs is not None else LocalBlobs(folder / "store")
    settings = WorkerSettings(scratch=folder / "scratch", niceness={})
    parts = RunnerParts(
        catalogue=catalogue,
        keys=keys,
        blobs=blobs,
        tools=tools,
        settings=settings,
        sources=SourceCache(blobs, settings.sources, settings.source_cache_bytes),
        steps={
            JobKind.INSPECT: partial(inspect, policy=policy),
            JobKind.ENCODE: encode,
            JobKind.AUDIO: audio,
            JobKind.THUMBNAILS: thumbnails,
            JobKind.SUBTITLES: subtitles,
            JobKind.PUBLISH: publish,
        },
    )
    video = encode_inline(parts, ingest(parts.catalogue, blobs, file), threads=threads)
    if video.state is VideoState.READY:
        export_presentation(parts.catalogue, blobs, video.id, folder / "site")
    return video, parts.catalogue.asset(video.asset)
