"""Publishing: manifests made from what is committed, stored whole before any name points at them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from packager.cmaf.init_segment import with_default_key
from packager.compose import compose_more
from packager.presentation import AudioRendition, ManifestFile, Presentation, VideoRendition
from packager.rendition_lines import RenditionLines
from storage.content_types import content_type_of
from storage.crashpoints import CrashPoint, crashpoint
from storage.ids import AssetId
from storage.jobs import Published, PublishedName
from storage.keys import asset_key, hash12, init_name, rendition_key
from storage.media.encryption import Encryption, KeyFacts
from workers.planning.publication import EPOCH, PublicationPolicy, is_final, plan_publication
from workers.steps.context import StepContext


def publish(ctx: StepContext) -> Published:
    """Store the manifests of what can be played now. Names that are not manifests (poster, tiles) stay as they are."""
    presentation = plan_publication(ctx.asset, PublicationPolicy(), _keys(ctx))
    if presentation is None:
        return Published(revision=ctx.asset.revision, names=(), playable=False, final=False)
    presentation, inits = _with_key_inits(ctx, presentation)
    published_at = EPOCH + timedelta(milliseconds=ctx.now_ms)
    composed = compose_more(presentation, published_at=published_at, before=_remembered(ctx.asset.id))
    _remember(ctx.asset.id, {} if presentation.complete else composed.lines)
    files = composed.files
    names = tuple(published_name(ctx.asset.id, file) for file in files)
    for file, name in zip(files, names, strict=True):
        ctx.blobs.put(name.key, file.body, content_type=file.content_type)
        crashpoint(CrashPoint.OBJECT_STORED, ctx.job.kind)
    versions = tuple(_version(file, name) for file, name in zip(files, names, strict=True) if file.listed_by_version)
    return Published(
        revision=ctx.asset.revision,
        names=(*inits, *versions, *names),
        playable=True,
        final=is_final(ctx.asset, presentation),
    )


_KEPT_ASSETS = 4
_kept: OrderedDict[AssetId, Mapping[str, RenditionLines]] = OrderedDict()
_kept_lock = threading.Lock()
"""What this process published last of films that grow: only a matter of speed, so it may be forgotten at any time."""


def _remembered(asset: AssetId) -> Mapping[str, RenditionLines]:
    with _kept_lock:
        return _kept.get(asset, {})


def _remember(asset: AssetId, lines: Mapping[str, RenditionLines]) -> None:
    with _kept_lock:
        _kept.pop(asset, None)
        if lines:
            _kept[asset] = lines
        while len(_kept) > _KEPT_ASSETS:
            _kept.popitem(last=False)


def published_name(asset: AssetId, file: ManifestFile) -> PublishedName:
    """Where ``file`` is stored: under its content's digest, so that a reader of the old version keeps it whole."""
    return PublishedName(
        name=file.name,
        key=asset_key(asset, file.versioned_name),
        content_type=file.content_type,
        size_bytes=len(file.body),
    )


def _version(file: ManifestFile, published: PublishedName) -> PublishedName:
    """The same object under the name that never means another: caches may keep that for good."""
    return replace(published, name=file.versioned_name, immutable=True)


def _keys(ctx: StepContext) -> tuple[KeyFacts, ...]:
    plan = ctx.asset.plan
    if plan is None or plan.encryption is Encryption.NONE:
        return ()
    if ctx.keys is None:
        raise ValueError("an encrypted asset is published where its keys are known")
    return ctx.keys.facts(ctx.asset.id)


def _with_key_inits(ctx: StepContext, presentation: Presentation) -> tuple[Presentation, tuple[PublishedName, ...]]:
    """Where keys change within the film, an init segment for each: HLS players take a key's id from there. They are made
    here, as they follow from the first one and the keys."""
    protection = presentation.protection
    if protection is None or protection.encryption is not Encryption.CBCS or len(protection.keys) == 1:
        return presentation, ()
    made: list[PublishedName] = []

    def named(rendition: VideoRendition | AudioRendition) -> tuple[str, ...]:
        first = ctx.blobs.get(rendition_key(ctx.asset.id, rendition.name, rendition.init_name))
        others = list(_store_inits(ctx, rendition.name, first, protection.keys[1:]))
        made.extend(others)
        return (rendition.init_name, *(name.name.rpartition("/")[2] for name in others))

    return (
        replace(
            presentation,
            video=tuple(replace(each, key_inits=named(each)) for each in presentation.video),
            audio=tuple(replace(each, key_inits=named(each)) for each in presentation.audio),
        ),
        tuple(made),
    )


def _store_inits(ctx: StepContext, rendition: str, first: bytes, keys: Sequence[KeyFacts]) -> Iterator[PublishedName]:
    kept = {name.name for name in ctx.asset.names}
    for key in keys:
        body = with_default_key(first, key)
        name = f"{rendition}/{init_name(hash12(body))}"
        if name not in kept:
            ctx.blobs.put(asset_key(ctx.asset.id, name), body, content_type=content_type_of(name))
        yield PublishedName(
            name=name,
            key=asset_key(ctx.asset.id, name),
            content_type=content_type_of(name),
            size_bytes=len(body),
            immutable=True,
        )
