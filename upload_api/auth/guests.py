"""Who may act where nobody is asked for a key. Pure.

A browser sends what a page of any site tells it to, also to this machine. So in an open house a page must be ours, or of
an origin that the operator names; and we answer only to names that are ours, as a foreign name that is pointed at our
address (DNS rebinding) makes any page one of ours.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from urllib.parse import urlsplit

from upload_api.errors import ForeignHost, ForeignOrigin
from upload_api.settings import UploadApiSettings
from upload_api.urls import Asked, is_trusted, plan_urls

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OR_KEYS = "or ask for keys with FISHLADDER_ACCESS=keys."


def check_guest(method: str, asked: Asked, settings: UploadApiSettings) -> None:
    """Raises `ForeignHost` and `ForeignOrigin`."""
    if "*" in settings.allowed_origins:
        return
    _check_host(asked, settings)
    if method not in SAFE:
        _check_page(asked, settings)


def _check_host(asked: Asked, settings: UploadApiSettings) -> None:
    host = asked.fields.get("host", "")
    if not host or _passed_on(asked, settings):
        return  # every browser says one; a proxy may call us what it likes
    name = _name_of(f"//{host}")
    known = {_name_of(url) for url in (settings.public_url, settings.origin_url, *settings.allowed_origins) if url}
    if not (name == "localhost" or name.endswith(".localhost") or _is_address(name) or name in known):
        raise ForeignHost(
            f"This server does not know itself as {host[:100]}. Set FISHLADDER_PUBLIC_URL to the address that people reach "
            f"it by, or name a further one in FISHLADDER_CORS_ORIGINS, {_OR_KEYS}"
        )


def _check_page(asked: Asked, settings: UploadApiSettings) -> None:
    origin = asked.fields.get("origin")
    if origin is None:
        if asked.fields.get("sec-fetch-site", "none") in ("none", "same-origin"):
            return  # a program, or a page of ours
    elif origin.lower() in settings.allowed_origins or _is_ours(origin, asked, settings):
        return
    raise ForeignOrigin(
        f"Pages of {(origin or 'other sites')[:100]} may not do this here. Name their origin in FISHLADDER_CORS_ORIGINS, "
        f"{_OR_KEYS}"
    )


def _is_ours(origin: str, asked: Asked, settings: UploadApiSettings) -> bool:
    """TLS may end before us, so schemes are not compared."""
    bases = (plan_urls(asked, each).public for each in (settings, replace(settings, public_url=None)))
    ours = {asked.fields.get("host", "").lower(), *(_authority(base) for base in bases)}
    return _authority(origin) in ours - {""}


def _passed_on(asked: Asked, settings: UploadApiSettings) -> bool:
    """Whether a proxy of ours on another machine sent this. On our own, a browser may sit beside the proxy."""
    trusted = asked.peer is not None and is_trusted(asked.peer, settings.trusted_proxies)
    return trusted and not ipaddress.ip_address(asked.peer or "").is_loopback


def _authority(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _name_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
