"""The upload API as a process: uvicorn, whose end lets writers store what they have."""

from __future__ import annotations

from infra.composition import open_bell, open_blobs, open_catalogue
from infra.settings import Settings
from infra.telemetry import configure_logging
from storage.grants import KeyRing
from upload_api.app import Ports, UploadApiSettings, create_app
from upload_api.serving import upload_server


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    configure_logging(settings.log_level, settings.log_format, service="upload-api")
    catalogue = open_catalogue(settings)
    ours = upload_api_settings(settings)
    ports = Ports(catalogue=catalogue, blobs=open_blobs(settings), bell=open_bell(settings))
    try:
        upload_server(create_app(ours, ports), ours, host=settings.host, port=settings.upload_api_port).run()
    finally:
        catalogue.close()


def upload_api_settings(settings: Settings) -> UploadApiSettings:
    return UploadApiSettings(
        public_url=settings.public_url,
        origin_url=settings.origin_url,
        origin_port=settings.origin_port,
        trusted_proxies=settings.trusted_proxies,
        max_upload_bytes=settings.max_upload_bytes,
        import_networks=settings.import_networks,
        playback_keys=KeyRing.parse(settings.playback_keys),
        visibility=settings.visibility,
        web_libraries=settings.web_libraries if settings.web_libraries.is_dir() else None,
        shutdown_grace_s=settings.drain_ms / 1000,
    )
