"""Pages and assets of the web app."""

from __future__ import annotations

from starlette.routing import BaseRoute

from upload_api.ports import Ports
from upload_api.settings import UploadApiSettings


def web_routes(settings: UploadApiSettings, ports: Ports) -> list[BaseRoute]:
    """The routes of all pages and assets, from what they may show."""
    return []
