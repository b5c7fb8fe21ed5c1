"""The composition root: settings in, adapters out. The only place that knows which adapter stands behind a port.

Imports are inside the functions: a process loads only what it uses.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from infra.machine import cpu_count, memory_bytes, slots_for
from infra.settings import Checksums, Settings, StoreKind, Switch
from storage.errors import InvalidRequest
from storage.jobs import Bell, JobKind, Lane, SilentBell
from storage.media.encryption import Encryption

if TYPE_CHECKING:
    from storage.blobs.local import LocalBlobs
    from storage.blobs.s3 import S3Blobs
    from storage.catalogue import Catalogue
    from storage.content_keys import SealingRing
    from storage.fairness import FairPolicy
    from storage.quotas import Limits
    from workers.ffmpeg.tools import Tools
    from workers.keys import KeyCabinet
    from workers.parts import RunnerParts
    from workers.planning.policy import Policy
    from workers.settings import WorkerSettings


def open_catalogue(settings: Settings) -> Catalogue:
    """The catalogue. Connects on first use; make one per process, after a fork."""
    from storage.catalogue.sql import SqlCatalogue

    return SqlCatalogue.open(
        settings.database_url,
        policy=fair_policy(settings),
        limits=default_limits(settings),
        deduplicates=settings.deduplicate is Switch.ON,
    )


def default_limits(settings: Settings) -> Limits:
    """What tenants may have that have no limits of their own."""
    from storage.quotas import Limits

    return Limits(
        stored_bytes=settings.tenant_max_bytes,
        open_uploads=settings.tenant_max_uploads,
        minutes=settings.tenant_max_minutes,
    )


def fair_policy(settings: Settings) -> FairPolicy:
    """Whose turn it is. Raises `InvalidRequest` for shares or weights that make no sense."""
    from storage.fairness import FairPolicy
    from storage.ids import TenantId

    try:
        return FairPolicy(
            shares={Lane(lane): percent / 100 for lane, percent in _numbers(settings.lane_shares)},
            weights={TenantId(tenant): weight for tenant, weight in _numbers(settings.tenant_weights)},
            max_running=settings.tenant_max_running,
        )
    except ValueError as error:
        raise InvalidRequest(f"FISHLADDER_LANE_SHARES or FISHLADDER_TENANT_WEIGHTS: {error}.") from error


def _numbers(pairs: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    for pair in pairs:
        name, _, number = pair.partition("=")
        yield name.strip(), float(number)


def migrate(settings: Settings) -> None:
    """Bring the database's schema to head."""
    from storage.catalogue.sql.schema import migrate as to_head

    to_head(settings.database_url)


def open_blobs(settings: Settings) -> LocalBlobs | S3Blobs:
    """The object store. Make one per process, after a fork."""
    if settings.store is StoreKind.LOCAL:
        from storage.blobs.local import LocalBlobs

        return LocalBlobs(settings.local_store_dir)
    from storage.blobs.s3 import S3Blobs, S3Settings

    return S3Blobs(
        S3Settings(
            bucket=settings.s3_bucket,
            endpoint_url=settings.s3_endpoint,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key,
            region=settings.s3_region,
            checksums=settings.s3_checksums is Checksums.CRC32,
        )
    )


def ensure_store(settings: Settings) -> None:
    """Make the bucket unless it is there; a folder needs no making. Raises `StoreUnavailable`."""
    from storage.blobs.s3 import S3Blobs

    blobs = open_blobs(settings)
    if isinstance(blobs, S3Blobs):
        blobs.ensure_bucket()


def open_bell(settings: Settings) -> Bell:
    """The bell; silent without a broker: then the sweeper's and the workers' own looks into the catalogue must do."""
    if not settings.broker_url:
        return SilentBell()
    from workers.celery import CeleryBell, create_celery

    return CeleryBell(create_celery(settings.broker_url, gpu=settings.gpu is not None))


def worker_settings(settings: Settings) -> WorkerSettings:
    from workers.settings import WorkerSettings

    ours = WorkerSettings(
        lease_ms=settings.lease_ms,
        drain_ms=settings.drain_ms,
        min_free_disk_bytes=settings.min_free_disk_bytes,
        min_free_memory_bytes=settings.min_free_memory_bytes,
        audit_interval_s=None if settings.audit_hours is None else settings.audit_hours * 3600,
        keep_source_ms=_days_ms(settings.keep_source_days),
        keep_failed_ms=_days_ms(settings.keep_failed_days),
        threads=settings.threads or math.ceil(cpu_count() / slots(settings)),
        http_host=settings.host,
        http_port=settings.worker_port,
        ready_file=settings.ready_file,
    )
    return ours if settings.scratch_dir is None else dataclasses.replace(ours, scratch=settings.scratch_dir)


def _days_ms(days: int | None) -> int | None:
    return None if days is None else days * 24 * 3_600_000


def slots(settings: Settings) -> int:
    """How many jobs this machine works on at once: as set, or by its CPUs and its memory."""
    return settings.workers or slots_for(cpu_count(), memory_bytes())


def policy(settings: Settings) -> Policy:
    """What planning decides by."""
    from workers.planning.policy import DEFAULT_POLICY

    return _as_set(DEFAULT_POLICY, settings)


def policies_before(settings: Settings) -> dict[str, Policy]:
    """What planning decides by for videos of older recipes."""
    from workers.planning.policy import POLICIES_BEFORE

    return {recipe: _as_set(policy, settings) for recipe, policy in POLICIES_BEFORE.items()}


def _as_set(policy: Policy, settings: Settings) -> Policy:
    from workers.planning.policy import EncryptionPolicy

    encryption = EncryptionPolicy(default=settings.encryption, key_period_s=settings.key_period_s)
    ladder = dataclasses.replace(policy.ladder, hardware=settings.gpu)
    return dataclasses.replace(policy, ladder=ladder, encryption=encryption)


def tools_of(settings: Settings) -> Tools:
    """The tools of this machine, its graphics hardware tried where it is to be used. A card that does not do what plans ask
    for leaves a worker that does everything else."""
    from workers.ffmpeg.process import find_tools
    from workers.ffmpeg.trials import try_hardware

    tools = find_tools(settings.ffmpeg)
    if settings.gpu_worker is Switch.OFF:
        return tools
    with tempfile.TemporaryDirectory(prefix="fishladder-trial-") as scratch:
        return dataclasses.replace(tools, hardware=try_hardware(tools, Path(scratch)))


def key_cabinet(settings: Settings, catalogue: Catalogue) -> KeyCabinet | None:
    """Content keys; None where nothing can be sealed. Raises `InvalidRequest` if videos are to be encrypted all the same."""
    from workers.keys import KeyCabinet

    if not settings.sealing_keys:
        if settings.encryption is not Encryption.NONE:
            raise InvalidRequest("FISHLADDER_ENCRYPTION needs FISHLADDER_SEALING_KEYS, which keep the keys.")
        return None
    service = None
    if settings.key_service_url:
        from infra.key_service import HttpKeyService

        service = HttpKeyService(settings.key_service_url, settings.key_service_token)
    return KeyCabinet(catalogue, sealing_ring(settings), service)


def sealing_ring(settings: Settings) -> SealingRing:
    from storage.content_keys import SealingRing

    return SealingRing.parse(settings.sealing_keys)


def runner_parts(settings: Settings) -> RunnerParts:
    """What a process that works on jobs is made of."""
    from workers.parts import RunnerParts
    from workers.sources import SourceCache
    from workers.steps.audio import audio
    from workers.steps.encode import encode
    from workers.steps.inspect import inspect
    from workers.steps.publish import publish
    from workers.steps.subtitles import subtitles
    from workers.steps.thumbnails import thumbnails

    ours = worker_settings(settings)
    blobs = open_blobs(settings)
    catalogue = open_catalogue(settings)
    return RunnerParts(
        catalogue=catalogue,
        keys=key_cabinet(settings, catalogue),
        blobs=blobs,
        tools=tools_of(settings),
        settings=ours,
        sources=SourceCache(blobs, ours.sources, ours.source_cache_bytes),
        steps={
            JobKind.INSPECT: partial(inspect, policy=policy(settings), before=policies_before(settings)),
            JobKind.ENCODE: encode,
            JobKind.AUDIO: audio,
            JobKind.THUMBNAILS: thumbnails,
            JobKind.SUBTITLES: subtitles,
            JobKind.PUBLISH: publish,
        },
    )
