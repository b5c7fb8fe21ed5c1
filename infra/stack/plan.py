"""Which parts a stack has: the embedded ones, less what the settings say is somewhere else already. Decisions only."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.machine import slots_for
from infra.setting_texts import variable
from infra.settings import Access, Configured, Settings, StoreKind
from storage.errors import Unavailable

LOOPBACK = ("127.0.0.1", "::1", "localhost")
CLOSE = f"Set {variable('access')}=keys to ask for API keys (`fishladder keys create`)."
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPlan:
    """``valkey`` / ``seaweedfs``: whether we start them. ``notes``: what is not as one would expect, as sentences."""

    settings: Settings
    valkey: bool
    seaweedfs: bool
    slots: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The flags of `up`; None: not given."""

    state: Path | None = None
    store: StoreKind | None = None
    workers: int | None = None
    host: str | None = None


def plan_stack(
    configured: Configured,
    asked: Asked,
    *,
    remembered_store: str | None,
    weed: bool,
    cpus: int,
    memory_bytes: int = sys.maxsize,
    address: str,
) -> StackPlan:
    """``address``: of this machine as its network sees it, for absolute URLs when we bind to all addresses."""
    settings, given = configured.settings, configured.given
    store, notes = _choose_store(configured, asked.store, remembered_store, weed=weed)
    host = asked.host if asked.host is not None else settings.host
    seen_as = address if host in _EVERYWHERE else host
    seen_as = f"[{seen_as}]" if ":" in seen_as else seen_as
    access = settings.access if "access" in given else Access.OPEN
    if access is Access.OPEN and host not in LOOPBACK:
        notes = (*notes, f"Everybody who reaches {seen_as} may upload and delete here. {CLOSE}")
    slots = asked.workers if asked.workers is not None else settings.workers
    return StackPlan(
        settings=dataclasses.replace(
            settings,
            host=host,
            store=store,
            access=access,
            cors_origins=settings.cors_origins if {"access", "cors_origins"} & given else (),
            public_url=settings.public_url if "public_url" in given else f"http://{seen_as}:{settings.upload_api_port}",
            origin_url=settings.origin_url if "origin_url" in given else f"http://{seen_as}:{settings.origin_port}",
        ),
        valkey="broker_url" not in given,
        seaweedfs=store is StoreKind.S3 and "s3_endpoint" not in given,
        slots=slots or slots_for(cpus, memory_bytes),
        notes=notes,
    )


def _choose_store(
    configured: Configured, flag: StoreKind | None, remembered: str | None, *, weed: bool
) -> tuple[StoreKind, tuple[str, ...]]:
    """The flag, then the setting, then what this state folder used before, then the best there is. Objects do not move
    by themselves: another store than before is refused."""
    asked = flag or (configured.settings.store if "store" in configured.given else None)
    if remembered is not None:
        if asked is not None and asked != remembered:
            raise Unavailable(
                f"This state folder keeps its objects in the {remembered} store. Start it with --store {remembered}, "
                "or choose another folder with --state DIR."
            )
        asked = StoreKind(remembered)
    if asked is StoreKind.LOCAL:
        return StoreKind.LOCAL, ()
    if weed or "s3_endpoint" in configured.given:
        return StoreKind.S3, ()
    if asked is StoreKind.S3:
        raise Unavailable("SeaweedFS has no build for this platform. Use --store local.")
    return StoreKind.LOCAL, ("SeaweedFS has no build for this platform: objects are kept in a folder instead.",)
