from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import pytest

from storage.catalogue.sql import SqlCatalogue
from storage.grants import KeyRing, PlaybackGrant, Visibility, sign_grant
from storage.ids import VideoId
from storage.jobs import JobKind
from storage.showing import Showing
from tests.builders import a_new_upload, a_published, a_published_name, an_encoded
from tests.journeys import an_encoding_video, do
from tests.uploads import small_app
from tests.web_weight import page_weight
from upload_api.app import Ports
from upload_api.web.pages import Markup, render_page, with_parts
from upload_api.web.routes import HERE, LIBRARIES, texts


def catalogue_of(ports: Ports) -> SqlCatalogue:
    assert isinstance(ports.catalogue, SqlCatalogue)
    return ports.catalogue


def get(ports: Ports, path: str, headers: dict[str, str] | None = None, **settings: object) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app=small_app(ports, **settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://fish.test") as http:
            return await http.get(path, headers=headers)

    return asyncio.run(once())


def test_slots_are_filled_and_escaped() -> None:
    page = render_page("{{text:a}}|{{b}}|{{c}}", {"a": "x & y"}, {"b": "<script>", "c": Markup("<b>")})
    assert page == "x &amp; y|&lt;script&gt;|<b>"
    with pytest.raises(KeyError):
        render_page("{{nothing}}", {})


def test_parts_come_before_slots() -> None:
    whole = with_parts("<head>\n{{part:head}}\n</head>{{b}}", lambda name: f"{name} {{{{text:a}}}}")
    assert render_page(whole, {"a": "x"}, {"b": "y"}) == "<head>\nhead x</head>y"


def test_no_page_has_inline_script_or_style() -> None:
    for template in templates():
        text = template.read_text()
        inline = r"<script(?![^>]*\b(?:src=|type=\"application/json\"))|<style|\sstyle=|\son\w+=|javascript:"
        assert not re.search(inline, text), template.name


def templates() -> list[Path]:
    """Pages, and the parts that they have in common."""
    return sorted((*(HERE / "pages").iterdir(), *(HERE / "parts").iterdir()))


def scripts() -> list[Path]:
    return sorted((HERE / "assets").rglob("*.js"))


def test_every_string_that_pages_and_scripts_name_exists_and_is_used() -> None:
    everything = "\n".join(path.read_text() for path in (*templates(), *scripts()))
    named = set(re.findall(r"\{\{text:([\w.]+)\}\}", everything)) | set(re.findall(r'say\(\s*"([\w.]+)"', everything))
    counted = set(re.findall(r'count\(\s*"([\w.]+)"', everything))
    begun = tuple(set(re.findall(r"`([\w.]+\.)\$\{", everything)))
    known = set(texts())
    assert named <= known
    assert counted | {f"{key}.one" for key in counted} <= known
    quoted = {key for key in known if f'"{key.removesuffix(".one")}"' in everything}
    unused = {key for key in known - named - quoted if not key.startswith(begun)}
    # The server's own page parts use the product's name.
    assert not unused - {"product"}


def test_what_scripts_import_and_pages_address_is_there() -> None:
    for page in (HERE / "pages").iterdir():
        assert page_weight(page.name, None).files > 1


def test_pages_stay_light() -> None:
    """Without libraries, over the wire: a share page in particular is opened by strangers on phones."""
    for page, limit_kb in {
        "home.html": 60,
        "video.html": 75,
        "watch.html": 60,
        "embed.html": 50,
        "signin.html": 25,
    }.items():
        assert page_weight(page, None).own_bytes < limit_kb * 1000, page


def test_scripts_put_no_text_into_the_page_as_markup() -> None:
    for path in scripts():
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text()
        )
        assert found is None, f"{path.name}: {found}"


def test_pages_let_nothing_in_but_their_own_and_the_films(ports: Ports) -> None:
    policy = get(ports, "/", origin_url="https://cdn.example/films").headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == "'self'"
    assert rules["media-src"] == "'self' blob: data: https://cdn.example"
    assert rules["connect-src"] == "'self' https://cdn.example"
    assert rules["img-src"] == "'self' blob: https://cdn.example"
    assert rules["frame-ancestors"] == "'none'"


def test_only_the_embedded_player_may_be_framed(ports: Ports) -> None:
    video = catalogue_of(ports).create_upload(a_new_upload()).video
    assert "frame-ancestors *" in get(ports, f"/embed/{video}").headers["content-security-policy"]
    assert "frame-ancestors 'none'" in get(ports, f"/watch/{video}").headers["content-security-policy"]


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        ((), "frame-ancestors 'self'"),
        (("https://a.example", "https://*.b.example"), "frame-ancestors 'self' https://a.example https://*.b.example"),
    ],
    ids=["nobody", "some"],
)
def test_an_owner_says_who_may_frame_the_player(ports: Ports, origins: tuple[str, ...], said: str) -> None:
    video = catalogue_of(ports).create_upload(a_new_upload()).video
    catalogue_of(ports).set_showing(video, Showing(embed_origins=origins))
    assert get(ports, f"/embed/{video}").headers["content-security-policy"].endswith(said)


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


def a_published_video(ports: Ports, title: str = "Film") -> VideoId:
    catalogue = catalogue_of(ports)
    video = an_encoding_video(catalogue)
    catalogue.rename_video(video, title)
    do(catalogue, JobKind.ENCODE, an_encoded())
    names = tuple(a_published_name(name, f"a-0/{name}") for name in ("master.m3u8", "poster.jpg"))
    do(catalogue, JobKind.PUBLISH, a_published(names=names))
    return video


def test_facts_in_a_page_cannot_end_their_element(ports: Ports) -> None:
    video = a_published_video(ports, "</script><script>alert(1)</script>")
    page = get(ports, f"/watch/{video}").text
    assert "<script>alert" not in page
    block = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page, re.DOTALL)
    assert block is not None
    assert json.loads(block[1])["title"] == "</script><script>alert(1)</script>"


def test_a_share_page_tells_nothing_but_what_viewers_need(ports: Ports) -> None:
    video = a_published_video(ports)
    told = get(ports, f"/watch/{video}/facts").json()
    assert told["hls_url"] == f"http://fish.test:8081/v/{video}/master.m3u8"
    assert not {"filename", "notes", "source_bytes", "lane", "tenant"} & set(told)


def test_a_signed_video_is_there_for_who_brings_a_token_and_for_nobody_else(ports: Ports) -> None:
    video = a_published_video(ports, "Secret")
    catalogue_of(ports).set_visibility(video, Visibility.SIGNED)
    keys = KeyRing(keys={"k1": b"0123456789abcdef"})
    set_up = {"playback_keys": keys, "needs_key": True}
    token = sign_grant(PlaybackGrant(video=video, expires_at_s=2**40), keys)
    expired = sign_grant(PlaybackGrant(video=video, expires_at_s=1), keys)
    other = sign_grant(PlaybackGrant(video=VideoId("0ther"), expires_at_s=2**40), keys)
    for page in ("watch", "embed"):
        assert get(ports, f"/{page}/{video}", **set_up).status_code == 404
        assert get(ports, f"/{page}/{video}?token={other}", **set_up).status_code == 404
        assert get(ports, f"/{page}/{video}?token={expired}", **set_up).status_code == 403
        opened = get(ports, f"/{page}/{video}?token={token}", **set_up)
        assert opened.status_code == 200
        assert "og:title" not in opened.text
    told = get(ports, f"/watch/{video}/facts?token={token}", **set_up).json()
    assert told["hls_url"] == f"http://fish.test:8081/t/{token}/v/{video}/master.m3u8"
    assert get(ports, f"/watch/{video}/facts", **set_up).status_code == 404


def test_oembed_tells_how_to_show_the_player(ports: Ports) -> None:
    video = a_published_video(ports, 'Sea "and" <sky>')
    page = get(ports, f"/watch/{video}").text
    found = re.search(r'type="application/json\+oembed" href="http://fish.test([^"]+)"', page)
    assert found is not None
    told = get(ports, found[1].replace("&amp;", "&")).json()
    assert (told["version"], told["type"], told["title"]) == ("1.0", "video", 'Sea "and" <sky>')
    assert f'src="http://fish.test/embed/{video}"' in told["html"]
    assert "<sky>" not in told["html"]
    assert told["thumbnail_url"] == f"http://fish.test:8081/v/{video}/poster.jpg"
    small = get(ports, f"/oembed?url=http://fish.test/watch/{video}&maxwidth=320&maxheight=240").json()
    assert small["width"] <= 320
    assert small["height"] <= 240
    xml = get(ports, f"/oembed?url=http://fish.test/watch/{video}&format=xml")
    assert ET.fromstring(xml.text).findtext("title") == 'Sea "and" <sky>'
    assert get(ports, f"/oembed?url=http://fish.test/watch/{video}&format=yaml").status_code == 501


@pytest.mark.parametrize(
    "url", ["http://other.test/watch/x", "http://fish.test/videos/x", "http://fish.test/watch/nobody", ""]
)
def test_oembed_knows_no_other_pages(ports: Ports, url: str) -> None:
    assert get(ports, f"/oembed?url={url}").status_code == 404


def test_assets_are_packed_and_asked_about_each_time_and_nothing_else_is_served(ports: Ports) -> None:
    for name in ("css/base.css", "home.js", "player/player.js", "strings.js", "mark.svg"):
        reply = get(ports, f"/assets/{name}")
        assert (reply.status_code, reply.headers["cache-control"]) == (200, "no-cache"), name
        assert reply.headers["content-encoding"] == "gzip"
        again = get(ports, f"/assets/{name}", headers={"if-none-match": reply.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for path in ("/assets/../routes.py", "/assets/%2e%2e/routes.py", "/assets/nothing.js", "/assets/css", "/assets/"):
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
        assert reply.headers["content-type"].startswith("font/woff2" if name.endswith("woff2") else "text/javascript")
    assert get(ports, "/assets/lib/secret.js", web_libraries=tmp_path).status_code == 404
