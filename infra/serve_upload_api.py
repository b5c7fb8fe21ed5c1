"""The upload API as a process: uvicorn, whose end lets writers store what they have."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import structlog

from infra.composition import open_bell, open_blobs, open_catalogue
from infra.setting_texts import variable
from infra.settings import Access, Settings
from infra.telemetry import configure_logging
from storage.access import Keys
from storage.errors import InvalidRequest, Unavailable
from storage.grants import KeyRing
from upload_api.app import Ports, UploadApiSettings, create_app
from upload_api.serving import upload_server

log = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    configure_logging(settings.log_level, settings.log_format, service="upload-api")
    catalogue = open_catalogue(settings)
    check_access(settings, catalogue)
    ours = upload_api_settings(settings)
    ports = Ports(catalogue=catalogue, blobs=open_blobs(settings), bell=open_bell(settings))
    try:
        upload_server(create_app(ours, ports), ours, host=settings.host, port=settings.upload_api_port).run()
    finally:
        catalogue.close()


def check_access(settings: Settings, keys: Keys) -> None:
    """Nobody serves strangers by mistake. Raises `InvalidRequest` with what is to be done."""
    if settings.access is Access.OPEN:
        return
    otherwise = f"To serve everybody who reaches this address without keys, set {variable('access')}=open."
    if not settings.signing_keys:
        raise InvalidRequest(
            f"{variable('signing_keys')} is not set: with it this server signs sessions and upload grants. "
            f"Set it to the same id:hexadecimal on all servers, such as main:$(openssl rand -hex 32). {otherwise}"
        )
    try:
        some = keys.has_good_keys()
    except Unavailable as error:
        # It may come up later than we do; without it no key is believed.
        log.warning("keys_not_looked_up", sentence=error.sentence)
        return
    if not some:
        raise InvalidRequest(
            "There is no API key yet, so nobody could use this server. Make the first one with "
            f"`fishladder keys create --name admin --scopes admin`, then start again. {otherwise}"
        )


def own_origins(settings: Settings) -> tuple[str, ...]:
    """Under which our pages may have been opened, though all addresses in them are those of ``public_url``."""
    machine = socket.gethostname().lower()
    names = ("localhost", "127.0.0.1", "[::1]", machine, f"{machine.partition('.')[0]}.local")
    public = urlsplit(settings.public_url)
    return tuple(
        dict.fromkeys(
            (f"{public.scheme}://{public.netloc}", *(f"http://{n}:{settings.upload_api_port}" for n in names))
        )
    )


def upload_api_settings(settings: Settings) -> UploadApiSettings:
    return UploadApiSettings(
        public_url=settings.public_url,
        origin_url=settings.origin_url,
        origin_port=settings.origin_port,
        trusted_proxies=settings.trusted_proxies,
        max_upload_bytes=settings.max_upload_bytes,
        import_networks=settings.import_networks,
        needs_key=settings.access is Access.KEYS,
        signing_keys=KeyRing.parse(settings.signing_keys) if settings.signing_keys else None,
        rate_limits=settings.rate_limits if settings.access is Access.KEYS else (),
        cors_origins=(*settings.cors_origins, *(own_origins(settings) if settings.access is Access.OPEN else ())),
        playback_keys=KeyRing.parse(settings.playback_keys),
        visibility=settings.visibility,
        downloads=settings.downloads,
        can_encrypt=bool(settings.sealing_keys),
        web_libraries=settings.web_libraries if settings.web_libraries.is_dir() else None,
        shutdown_grace_s=settings.drain_ms / 1000,
    )
