"""What is said about sessions, keys, grants and usage, as pydantic models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from storage.access import ApiKey, Scope
from storage.jobs import Lane
from storage.quotas import Limits, Usage
from upload_api.auth.principal import Principal
from upload_api.models import moment, moment_or_none


class SignIn(BaseModel):
    key: str = Field(max_length=200, description="an API key")


class SessionModel(BaseModel):
    """Who asks. A server that needs no key says so: then everybody is signed in."""

    tenant: str
    scopes: list[Scope]
    needs_key: bool = Field(description="whether this server asks for keys at all")
    key_id: str | None
    expires_at: datetime | None = Field(default=None, description="when a browser has to sign in again")

    @classmethod
    def of(cls, who: Principal, *, needs_key: bool, expires_at_s: int | None = None) -> SessionModel:
        return cls(
            tenant=who.tenant,
            scopes=sorted(who.scopes),
            needs_key=needs_key,
            key_id=who.key_id,
            expires_at=moment_or_none(None if expires_at_s is None else expires_at_s * 1000),
        )


class NewKeyModel(BaseModel):
    name: str = Field(min_length=1, max_length=80, description="for people: where it is used")
    scopes: list[Scope] = Field(min_length=1, max_length=4)
    expires_in_days: float | None = Field(default=None, gt=0, le=3650, description="null: it does not expire")


class KeyModel(BaseModel):
    """An API key, without its secret."""

    id: str
    tenant: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="to the minute")
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> KeyModel:
        return cls.model_validate(facts_of(key))


class CreatedKeyModel(KeyModel):
    token: str = Field(description="the key itself: it is told once, here")

    @classmethod
    def with_token(cls, key: ApiKey, token: str) -> CreatedKeyModel:
        return cls.model_validate(facts_of(key) | {"token": token})


def facts_of(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": moment(key.created_at_ms),
        "expires_at": moment_or_none(key.expires_at_ms),
        "last_used_at": moment_or_none(key.last_used_at_ms),
        "revoked_at": moment_or_none(key.revoked_at_ms),
    }


class KeyList(BaseModel):
    keys: list[KeyModel]


Count = Annotated[int, Field(ge=1, le=1 << 53)]


class NewGrantModel(BaseModel):
    """What somebody without a key may upload."""

    expires_in_seconds: int = Field(default=3600, ge=1, le=7 * 24 * 3600)
    max_bytes: Count | None = Field(default=None, description="of each upload; null: as the server allows")
    max_uploads: int = Field(
        default=5, ge=1, le=1000, description="how many may begin; one whose answer got lost counts too"
    )
    types: list[str] = Field(default=[], max_length=20, description="video/mp4, video/*; empty: any")
    lane: Lane | None = Field(default=None, description="null: as the client asks")
    metadata: dict[str, str] = Field(default={}, description="told again with the upload; `title` is the video's")


class GrantModel(BaseModel):
    token: str = Field(description="for «Authorization: Bearer …» on POST /files")
    upload_url: str = Field(description="where to send the upload")
    expires_at: datetime


class LimitsModel(BaseModel):
    """null: any number."""

    stored_bytes: int | None
    open_uploads: int | None
    minutes: int | None

    @classmethod
    def of(cls, limits: Limits) -> LimitsModel:
        return cls(stored_bytes=limits.stored_bytes, open_uploads=limits.open_uploads, minutes=limits.minutes)


class UsageModel(BaseModel):
    """What a tenant has of what it may have."""

    tenant: str
    stored_bytes: int = Field(description="of uploaded files, those on their way with all their length")
    open_uploads: int
    minutes: float = Field(description="of film")
    limits: LimitsModel

    @classmethod
    def of(cls, tenant: str, usage: Usage, limits: Limits) -> UsageModel:
        return cls(
            tenant=tenant,
            stored_bytes=usage.stored_bytes,
            open_uploads=usage.open_uploads,
            minutes=round(usage.film_ms / 60_000, 2),
            limits=LimitsModel.of(limits),
        )
