"""The web app's pages, assets and browser libraries."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from storage.catalogue import Video
from storage.errors import NotFound
from storage.ids import VideoId
from storage.lifecycle import VideoState
from upload_api.ports import Ports
from upload_api.requests import asked_by
from upload_api.settings import UploadApiSettings
from upload_api.urls import Urls, plan_urls
from upload_api.web.pages import Policy, content_security_policy, render_page, social_tags

HERE = Path(__file__).parent

LIBRARIES = {
    "hls.mjs": "hls.js/dist/hls.min.mjs",
    "hls.worker.js": "hls.js/dist/hls.worker.js",
    "tus.js": "tus-js-client/dist/tus.min.js",
}
"""What ``/assets/lib/`` serves, as paths below ``node_modules``: nothing else of it is reachable."""

REVALIDATE = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


@cache
def texts() -> dict[str, str]:
    """Every string of the web app."""
    return dict(json.loads((HERE / "strings.json").read_text("utf-8")))


@cache
def _template(name: str) -> str:
    return (HERE / "pages" / name).read_text("utf-8")


class _Assets(StaticFiles):
    """Files that browsers keep but ask about each time: a new version is there at the next load."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(REVALIDATE)
        return response


def web_routes(settings: UploadApiSettings, ports: Ports) -> list[BaseRoute]:
    """The routes of all pages and assets."""

    def urls(request: Request) -> Urls:
        return plan_urls(asked_by(request.scope), settings)

    def home(request: Request) -> Response:
        return _page(urls(request), render_page(_template("home.html"), texts()))

    def of_video(template: str, policy: Policy) -> Callable[[Request], Response]:
        def page(request: Request) -> Response:
            at = urls(request)
            try:
                video = _visible(ports, request.path_params["video_id"])
            except NotFound:
                return _page(at, render_page(_template("missing.html"), texts()), status=404, policy=policy)
            social = social_tags(video, at, texts()["product"])
            values = {"title": video.title, "video_id": video.id, "social": social}
            return _page(at, render_page(_template(template), texts(), values), policy=policy)

        return page

    def library(request: Request) -> Response:
        path = LIBRARIES.get(request.path_params["name"])
        if path is None or settings.web_libraries is None or not (settings.web_libraries / path).is_file():
            raise NotFound("This browser library is not installed on the server.")
        return FileResponse(settings.web_libraries / path, media_type="text/javascript", headers=REVALIDATE)

    return [
        Route("/", home),
        Route("/watch/{video_id}", of_video("watch.html", Policy())),
        Route("/embed/{video_id}", of_video("embed.html", Policy(frame_ancestors="*"))),
        Route("/assets/strings.js", _strings),
        Route("/assets/lib/{name}", library),
        Mount("/assets", _Assets(directory=HERE / "assets")),
    ]


def _strings(_request: Request) -> Response:
    script = f"export default {json.dumps(texts(), ensure_ascii=False)};\n"
    return Response(script, media_type="text/javascript", headers=REVALIDATE)


def _visible(ports: Ports, video_id: str) -> Video:
    video = ports.catalogue.video(VideoId(video_id))
    if video.state is VideoState.DELETED:
        raise NotFound
    return video


def _page(at: Urls, content: str, *, status: int = 200, policy: Policy | None = None) -> Response:
    return HTMLResponse(
        content,
        status,
        headers={
            "Content-Security-Policy": content_security_policy(at.origin_host, policy or Policy()),
            "Cache-Control": "no-store",
            "Referrer-Policy": "strict-origin-when-cross-origin",
            "X-Content-Type-Options": "nosniff",
        },
    )
