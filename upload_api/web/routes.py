"""The web app's pages, assets and browser libraries."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from storage.errors import GrantExpired, InvalidRequest, NotFound
from upload_api.playback import Playback
from upload_api.ports import Ports
from upload_api.requests import asked_by
from upload_api.settings import UploadApiSettings
from upload_api.urls import Urls, plan_urls
from upload_api.web.files import Packed, pack, packed_file
from upload_api.web.oembed import as_xml, oembed, video_of
from upload_api.web.pages import (
    content_security_policy,
    data_block,
    frame_ancestors,
    render_page,
    social_tags,
    with_parts,
)
from upload_api.web.showing import Shown, Viewing, public_facts

HERE = Path(__file__).parent

UrlsOf = Callable[[Request], Urls]
"""Our addresses, as the one who asks can reach them."""

LIBRARIES = {
    "hls.mjs": "hls.js/dist/hls.min.mjs",
    "hls.worker.js": "hls.js/dist/hls.worker.js",
    "dash.js": "dashjs/dist/modern/esm/dash.mediaplayer.min.js",
    "tus.js": "tus-js-client/dist/tus.min.js",
    "letters.woff2": "@fontsource-variable/geist/files/geist-latin-wght-normal.woff2",
}
"""What ``/assets/lib/`` serves, as paths below ``node_modules``: nothing else of it is reachable."""


@cache
def texts() -> dict[str, str]:
    """Every string of the web app."""
    return dict(json.loads((HERE / "strings.json").read_text("utf-8")))


@cache
def page_template(name: str) -> str:
    """The page ``name`` with its parts, its slots still open."""
    template = (HERE / "pages" / name).read_text("utf-8")
    return with_parts(template, lambda part: (HERE / "parts" / f"{part}.html").read_text("utf-8"))


@lru_cache(maxsize=1)
def strings_script() -> Packed:
    return pack(f"export default {json.dumps(texts(), ensure_ascii=False)};\n".encode(), ".js")


def library_file(folder: Path | None, name: str) -> Packed | None:
    """A browser library that is installed in ``folder``."""
    path = LIBRARIES.get(name)
    return packed_file(folder / path) if path is not None and folder is not None else None


def web_routes(settings: UploadApiSettings, ports: Ports) -> list[BaseRoute]:
    """The routes of all pages and assets."""

    def urls(request: Request) -> Urls:
        return plan_urls(asked_by(request.scope), settings)

    def library(request: Request) -> Response:
        found = library_file(settings.web_libraries, request.path_params["name"])
        if found is None:
            raise NotFound("This browser library is not installed on the server.")
        return found.answer(request)

    viewing = Viewing(ports.catalogue, Playback(settings.playback_keys, settings.visibility))
    return [
        *_owners_pages(urls),
        *_viewers_pages(urls, viewing),
        Route("/oembed", _oembed(urls, viewing)),
        Route("/assets/strings.js", lambda request: strings_script().answer(request)),
        Route("/assets/lib/{name}", library),
        Route("/assets/{path:path}", _asset),
    ]


def _owners_pages(urls: UrlsOf) -> list[BaseRoute]:
    """Pages for who runs videos: frames that their scripts fill over REST."""

    def plain(template: str) -> Callable[[Request], Response]:
        return lambda request: _page(urls(request), render_page(page_template(template), texts()))

    def video(request: Request) -> Response:
        values = {"video_id": request.path_params["video_id"]}
        return _page(urls(request), render_page(page_template("video.html"), texts(), values))

    return [Route("/", plain("home.html")), Route("/signin", plain("signin.html")), Route("/videos/{video_id}", video)]


def _viewers_pages(urls: UrlsOf, viewing: Viewing) -> list[BaseRoute]:
    """Pages for whoever was sent a link."""

    def of(template: str, framed_by: Callable[[Shown], str]) -> Callable[[Request], Response]:
        def page(request: Request) -> Response:
            at = urls(request)
            try:
                shown = viewing.shown(request.path_params["video_id"], request, at)
            except NotFound:
                return _page(at, render_page(page_template("missing.html"), texts()), status=404)
            except GrantExpired:
                return _page(at, render_page(page_template("expired.html"), texts()), status=403)
            values = {
                "title": shown.video.title,
                "video_id": shown.video.id,
                "social": social_tags(shown, at, texts()["product"]),
                "facts": data_block(public_facts(shown, at)),
            }
            return _page(at, render_page(page_template(template), texts(), values), framed_by=framed_by(shown))

        return page

    def facts(request: Request) -> Response:
        at = urls(request)
        shown = viewing.shown(request.path_params["video_id"], request, at)
        return JSONResponse(public_facts(shown, at), headers={"Cache-Control": "no-store"})

    return [
        Route("/watch/{video_id}", of("watch.html", lambda _shown: "'none'")),
        Route("/watch/{video_id}/facts", facts),
        Route("/embed/{video_id}", of("embed.html", lambda shown: frame_ancestors(shown.showing.embed_origins))),
    ]


def _oembed(urls: UrlsOf, viewing: Viewing) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        """404 for what is not there, 501 for a format that is not spoken, says oEmbed."""
        asked, at = request.query_params, urls(request)
        form = asked.get("format", "json")
        if form not in ("json", "xml"):
            return Response(status_code=501)
        video = video_of(asked.get("url", ""), at)
        if video is None:
            raise NotFound("That is not the address of a share page here.")
        limits = {name: _limit(asked.get(name.replace("_", ""))) for name in ("max_width", "max_height")}
        told = oembed(viewing.listed(video, at), at, texts()["product"], **limits)
        headers = {"Cache-Control": "max-age=300", "Access-Control-Allow-Origin": "*"}
        if form == "json":
            return JSONResponse(told, headers=headers)
        return Response(as_xml(told), headers=headers, media_type="text/xml; charset=utf-8")

    return answer


def _asset(request: Request) -> Response:
    folder = HERE / "assets"
    path = (folder / request.path_params["path"]).resolve()
    found = packed_file(path) if path.is_relative_to(folder) else None
    if found is None:
        raise NotFound("There is no such file.")
    return found.answer(request)


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or not 0 < int(text[:9]) < 100_000:
        raise InvalidRequest("A limit is a number of pixels.")
    return int(text)


def _page(at: Urls, content: str, *, status: int = 200, framed_by: str = "'none'") -> Response:
    return HTMLResponse(
        content,
        status,
        headers={
            "Content-Security-Policy": content_security_policy(at.origin_host, framed_by),
            "Cache-Control": "no-store",
            "Referrer-Policy": "strict-origin-when-cross-origin",
            "X-Content-Type-Options": "nosniff",
        },
    )
