from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx
import pytest

from storage.catalogue.sql import SqlCatalogue
from storage.jobs import JobKind
from tests.builders import a_new_upload, a_published, a_published_name, an_encoded
from tests.journeys import an_encoding_video, do
from tests.uploads import memory_ports, small_app
from upload_api.app import Ports
from upload_api.web.pages import Markup, render_page
from upload_api.web.routes import HERE, LIBRARIES, texts


@pytest.fixture
def ports() -> Ports:
    return memory_ports()


def catalogue_of(ports: Ports) -> SqlCatalogue:
    assert isinstance(ports.catalogue, SqlCatalogue)
    return ports.catalogue


def get(ports: Ports, path: str, **settings: object) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app=small_app(ports, **settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://fish.test") as http:
            return await http.get(path)

    return asyncio.run(once())


def test_slots_are_filled_and_escaped() -> None:
    page = render_page("{{text:a}}|{{b}}|{{c}}", {"a": "x & y"}, {"b": "<script>", "c": Markup("<b>")})
    assert page == "x &amp; y|&lt;script&gt;|<b>"
    with pytest.raises(KeyError):
        render_page("{{nothing}}", {})


def test_no_page_has_inline_script_or_style() -> None:
    for template in (HERE / "pages").glob("*.html"):
        text = template.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text), template.name


def test_every_string_that_pages_and_scripts_name_exists_and_is_used() -> None:
    sources = [path.read_text() for path in (*(HERE / "pages").iterdir(), *(HERE / "assets").glob("*.js"))]
    everything = "\n".join(sources)
    named = set(re.findall(r"\{\{text:([\w.]+)\}\}", everything)) | set(re.findall(r'say\(\s*"([\w.]+)"', everything))
    known = set(texts())
    assert named <= known
    built = {key for key in known if key.startswith("state.")} | {"watch.uploading", "watch.inspecting"}
    unused = {key for key in known - named - built if f'"{key}"' not in everything}
    # The server's own page parts use the product's name.
    assert not unused - {"product"}


def test_pages_let_nothing_in_but_their_own_and_the_films(ports: Ports) -> None:
    policy = get(ports, "/", origin_url="https://cdn.example/films").headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == "'self'"
    assert rules["media-src"] == "'self' blob: https://cdn.example"
    assert rules["connect-src"] == rules["img-src"] == "'self' https://cdn.example"
    assert rules["frame-ancestors"] == "'none'"


def test_only_the_embedded_player_may_be_framed(ports: Ports) -> None:
    video = catalogue_of(ports).create_upload(a_new_upload()).video
    assert "frame-ancestors *" in get(ports, f"/embed/{video}").headers["content-security-policy"]
    assert "frame-ancestors 'none'" in get(ports, f"/watch/{video}").headers["content-security-policy"]


def test_a_watch_page_tells_feeds_what_it_shows(ports: Ports) -> None:
    catalogue = catalogue_of(ports)
    video = an_encoding_video(catalogue)
    catalogue.rename_video(video, 'Sea "and" <sky>')
    do(catalogue, JobKind.ENCODE, an_encoded())
    names = tuple(a_published_name(name, f"a-0/{name}") for name in ("master.m3u8", "poster.jpg"))
    do(catalogue, JobKind.PUBLISH, a_published(names=names))
    page = get(ports, f"/watch/{video}").text
    assert '<meta property="og:title" content="Sea &quot;and&quot; &lt;sky&gt;">' in page
    assert f'<meta property="og:image" content="http://fish.test:8081/v/{video}/poster.jpg">' in page
    assert f'<meta property="og:url" content="http://fish.test/watch/{video}">' in page
    assert '<meta property="video:duration" content="16">' in page
    assert f'<body data-video="{video}">' in page
    assert "<sky>" not in page


def test_what_is_not_there_and_what_was_deleted_look_alike(ports: Ports) -> None:
    video = catalogue_of(ports).create_upload(a_new_upload()).video
    catalogue_of(ports).delete_video(video)
    gone, never = get(ports, f"/watch/{video}"), get(ports, "/watch/nothing")
    assert gone.status_code == never.status_code == 404
    assert gone.text == never.text


def test_assets_are_asked_about_each_time_and_nothing_else_is_served(ports: Ports) -> None:
    for name in ("style.css", "home.js", "strings.js", "mark.svg"):
        reply = get(ports, f"/assets/{name}")
        assert (reply.status_code, reply.headers["cache-control"]) == (200, "no-cache")
    for path in ("/assets/../routes.py", "/assets/%2e%2e/routes.py", "/assets/nothing.js"):
        assert get(ports, path).status_code == 404


def test_browser_libraries_come_from_the_folder_that_is_set(ports: Ports, tmp_path: Path) -> None:
    assert get(ports, "/assets/lib/hls.mjs").json()["code"] == "not_found"
    for path in LIBRARIES.values():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("// a library")
    (tmp_path / "secret.js").write_text("secret")
    for name in LIBRARIES:
        reply = get(ports, f"/assets/lib/{name}", web_libraries=tmp_path)
        assert (reply.status_code, reply.text) == (200, "// a library")
        assert reply.headers["content-type"].startswith("text/javascript")
    assert get(ports, "/assets/lib/secret.js", web_libraries=tmp_path).status_code == 404
