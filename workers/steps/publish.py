"""Publishing: manifests made from what is committed, stored whole before any name points at them."""

from __future__ import annotations

from datetime import timedelta

from packager.compose import compose
from packager.presentation import ManifestFile
from storage.crashpoints import CrashPoint, crashpoint
from storage.ids import AssetId
from storage.jobs import Published, PublishedName
from storage.keys import asset_key, hash12, versioned_name
from workers.planning.publication import EPOCH, PublicationPolicy, is_final, plan_publication
from workers.steps.context import StepContext


def publish(ctx: StepContext) -> Published:
    """Store the manifests of what can be played now. Names that are not manifests (poster, tiles) stay as they are."""
    presentation = plan_publication(ctx.asset, PublicationPolicy())
    if presentation is None:
        return Published(revision=ctx.asset.revision, names=(), playable=False, final=False)
    files = compose(presentation, published_at=EPOCH + timedelta(milliseconds=ctx.now_ms))
    names = tuple(published_name(ctx.asset.id, file) for file in files)
    for file, name in zip(files, names, strict=True):
        ctx.blobs.put(name.key, file.body, content_type=file.content_type)
        crashpoint(CrashPoint.OBJECT_STORED, ctx.job.kind)
    return Published(revision=ctx.asset.revision, names=names, playable=True, final=is_final(ctx.asset, presentation))


def published_name(asset: AssetId, file: ManifestFile) -> PublishedName:
    """Where ``file`` is stored: under its content's digest, so that a reader of the old version keeps it whole."""
    return PublishedName(
        name=file.name,
        key=asset_key(asset, versioned_name(file.name, hash12(file.body))),
        content_type=file.content_type,
        size_bytes=len(file.body),
    )
