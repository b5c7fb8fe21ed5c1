"""Absolute URLs of this service and of the origin, as the one who asks can reach them. Pure.

Settings decide. Without them the request's own host does, so that a phone on the same network is sent to the address
it came by, never to «localhost». Forwarded fields are believed only from proxies that the settings name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from storage.ids import UploadId, VideoId
from upload_api.settings import UploadApiSettings

_HOST = re.compile(r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253})|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a request reached us. ``fields``: lower-case header fields; ``peer``: the address at the other end."""

    scheme: str
    server_port: int | None
    fields: Mapping[str, str]
    peer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """Bases without a trailing slash."""

    public: str
    origin: str

    def upload(self, upload: UploadId) -> str:
        return f"{self.public}/files/{upload}"

    def resumable(self, upload: UploadId) -> str:
        """The same upload in the IETF's dialect."""
        return f"{self.public}/uploads/{upload}"

    def watch(self, video: VideoId) -> str:
        return f"{self.public}/watch/{video}"

    def embed(self, video: VideoId) -> str:
        return f"{self.public}/embed/{video}"

    def media(self, video: VideoId, name: str) -> str:
        return f"{self.origin}/v/{video}/{name}"

    @property
    def origin_host(self) -> str:
        """Scheme and authority of the origin, as a content security policy names it."""
        parts = urlsplit(self.origin)
        return f"{parts.scheme}://{parts.netloc}"


def plan_urls(asked: Asked, settings: UploadApiSettings) -> Urls:
    """The bases to answer this request with."""
    if settings.public_url is not None:
        public = settings.public_url.rstrip("/")
    else:
        scheme, host = _reached_by(asked, settings.trusted_proxies)
        public = _join(scheme, host)
    if settings.origin_url is not None:
        return Urls(public=public, origin=settings.origin_url.rstrip("/"))
    parts = urlsplit(public)
    name = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return Urls(public=public, origin=_join(parts.scheme, f"{name}:{settings.origin_port}"))


def _reached_by(asked: Asked, trusted: tuple[str, ...]) -> tuple[str, str]:
    """(scheme, host[:port]) of the request, seen through proxies that are trusted."""
    scheme, host = asked.scheme, asked.fields.get("host", "")
    if is_trusted(asked.peer, trusted):
        told = _forwarded(asked.fields.get("forwarded", ""))
        scheme = told.get("proto") or _first(asked.fields.get("x-forwarded-proto")) or scheme
        host = told.get("host") or _first(asked.fields.get("x-forwarded-host")) or host
        port = _first(asked.fields.get("x-forwarded-port"))
        if port and port.isdecimal() and not re.search(r":[0-9]+$", host):
            host = f"{host}:{port}"
    scheme = scheme.lower() if scheme.lower() in _DEFAULT_PORTS else "http"
    if not _HOST.fullmatch(host):
        # A host that is none is not repeated to anybody.
        host = "localhost" if asked.server_port is None else f"localhost:{asked.server_port}"
    return scheme, host


def client_address(asked: Asked, trusted: tuple[str, ...]) -> str | None:
    """The address of who asks: the last hop that is no proxy of ours."""
    address = asked.peer
    hops = [hop.strip() for hop in asked.fields.get("x-forwarded-for", "").split(",") if hop.strip()]
    while hops and is_trusted(address, trusted):
        address = hops.pop()
    return address


def is_trusted(peer: str | None, trusted: tuple[str, ...]) -> bool:
    """Whether the address ``peer`` is a proxy of ours."""
    if peer is None or not trusted:
        return False
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network, strict=False) for network in trusted)


def _forwarded(value: str) -> dict[str, str]:
    """proto and host of the first hop of a Forwarded field (RFC 7239): the one that the client spoke to."""
    first = value.partition(",")[0]
    pairs = (pair.partition("=") for pair in first.split(";"))
    return {name.strip().lower(): told.strip().strip('"') for name, _, told in pairs}


def _first(value: str | None) -> str | None:
    return value.partition(",")[0].strip() or None if value else None


def _join(scheme: str, host: str) -> str:
    port = _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host.removesuffix(f':{port}')}"
