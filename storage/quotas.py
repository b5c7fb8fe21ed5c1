"""What a tenant may have: limits and how much of them is used.

A quota is never counted up and down: what is used is summed up from the rows of uploads and videos under the tenant's
lock, whenever more is asked for. So whatever ends an upload or a video gives back what it held, in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from storage.errors import InvalidRequest, OverQuota
from storage.ids import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None: any number. ``stored_bytes``: of uploaded files, those still on their way included with all their length.
    ``open_uploads``: unfinished ones at once. ``minutes``: of film."""

    stored_bytes: int | None = None
    open_uploads: int | None = None
    minutes: int | None = None

    def __post_init__(self) -> None:
        if any(limit is not None and limit < 0 for limit in (self.stored_bytes, self.open_uploads, self.minutes)):
            raise InvalidRequest("A limit is not negative.")

    def over(self, other: Limits) -> Limits:
        """These, and where they say nothing, ``other``."""
        return Limits(
            stored_bytes=_first(self.stored_bytes, other.stored_bytes),
            open_uploads=_first(self.open_uploads, other.open_uploads),
            minutes=_first(self.minutes, other.minutes),
        )

    @property
    def is_none(self) -> bool:
        return self == Limits()


def _first(own: int | None, default: int | None) -> int | None:
    return default if own is None else own


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much of its limits a tenant has used."""

    stored_bytes: int = 0
    open_uploads: int = 0
    film_ms: int = 0


def check_creation(limits: Limits, usage: Usage, length_bytes: int | None) -> None:
    """Whether one more upload may begin. Length None: not known yet; then it has to grow within what is left.
    Raises `OverQuota`."""
    if limits.open_uploads is not None and usage.open_uploads >= limits.open_uploads:
        raise OverQuota(
            f"{usage.open_uploads} uploads are unfinished, and no more than {limits.open_uploads} may be at once.",
            quota="open_uploads",
            limit=limits.open_uploads,
            used=usage.open_uploads,
        )
    check_bytes(limits, usage, 1 if length_bytes is None else length_bytes)
    if limits.minutes is not None and usage.film_ms >= limits.minutes * 60_000:
        raise _over_minutes(limits.minutes, usage)


def check_bytes(limits: Limits, usage: Usage, more_bytes: int) -> None:
    """Raises `OverQuota`."""
    if limits.stored_bytes is not None and usage.stored_bytes + more_bytes > limits.stored_bytes:
        raise OverQuota(
            f"There is no room for this file: {usage.stored_bytes} of {limits.stored_bytes} bytes are used.",
            quota="stored_bytes",
            limit=limits.stored_bytes,
            used=usage.stored_bytes,
        )


def check_film(limits: Limits, usage: Usage, more_ms: int) -> None:
    """Raises `OverQuota`."""
    if limits.minutes is not None and usage.film_ms + more_ms > limits.minutes * 60_000:
        raise _over_minutes(limits.minutes, usage)


def _over_minutes(minutes: int, usage: Usage) -> OverQuota:
    used = round(usage.film_ms / 60_000)
    return OverQuota(
        f"There is no room for this film: {used} of {minutes} minutes are used.",
        quota="minutes",
        limit=minutes,
        used=used,
    )


class Quotas(Protocol):
    """Each call is one transaction. All block."""

    def limits(self, tenant: TenantId) -> Limits:
        """Its own, and the defaults where it has none."""
        ...

    def set_limits(self, tenant: TenantId, limits: Limits) -> None:
        """Replace its own limits; None in them: as the defaults say."""
        ...

    def usage(self, tenant: TenantId) -> Usage: ...

    def tenants(self) -> tuple[TenantId, ...]:
        """All that have keys, limits or videos."""
        ...
