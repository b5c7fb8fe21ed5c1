"""The web app of a server that asks for keys, and pages of other sites that upload to it, in Chromium."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from storage.access import NewKey, Scope, new_token
from storage.ids import DEFAULT_TENANT, TenantId
from tests.e2e.web import opened
from tests.upload_server import UploadServer, open_ports, running

pytestmark = pytest.mark.e2e

SOON_MS = 60_000
CLIP = b"\x1a\x45\xdf\xa3" + b"not much of a film" * 10_000


@dataclass(frozen=True)
class House:
    server: UploadServer
    key: str
    stranger: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, node_modules: Path) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    ports, key, stranger = open_ports(folder), new_token(), new_token()
    ports.catalogue.create_key(NewKey(tenant=DEFAULT_TENANT, name="mine", scopes=(Scope.ADMIN,)), key)
    ports.catalogue.create_key(NewKey(tenant=TenantId("other"), name="theirs", scopes=(Scope.ADMIN,)), stranger)
    ports.catalogue.close()
    with running(folder, libraries=node_modules, needs_key=True) as server:
        yield House(server, key.text, stranger.text)


def test_people_sign_in_upload_and_sign_out(house: House, browser: Browser, tmp_path: Path) -> None:
    clip = tmp_path / "holiday.mkv"
    clip.write_bytes(CLIP)
    with opened(browser, house.server.url) as it:
        it.go("/")
        it.page.wait_for_url("**/signin?next=%2F")
        it.page.fill("#key", house.stranger[:-1])
        it.page.keyboard.press("Enter")
        expect(it.page.get_by_role("alert")).to_contain_text("key", timeout=SOON_MS)
        it.page.fill("#key", house.key)
        it.page.keyboard.press("Enter")
        it.page.wait_for_url(house.server.url + "/")
        assert it.page.evaluate("() => document.cookie") == ""  # not for scripts
        it.page.set_input_files("#files", str(clip))
        card = it.page.locator("#videos .card", has=it.page.get_by_text("holiday")).first
        expect(card).to_be_visible(timeout=SOON_MS)
        expect(card.locator(".badge.uploading")).to_have_count(0, timeout=SOON_MS)  # all of it arrived
        it.page.get_by_role("button", name="Sign out").click()
        it.page.wait_for_url("**/signin*")
        it.go("/")
        it.page.wait_for_url("**/signin?next=%2F")


def test_another_tenant_sees_an_empty_house(house: House, browser: Browser) -> None:
    shown = {"Authorization": f"Bearer {house.key}", "Tus-Resumable": "1.0.0", "Upload-Length": "5"}
    video = httpx.post(f"{house.server.url}/files", headers=shown, timeout=60).headers["Fishladder-Video"]
    with opened(browser, house.server.url) as it:
        it.go(f"/signin?next=/videos/{video}")
        it.page.fill("#key", house.stranger)
        it.page.keyboard.press("Enter")
        it.page.wait_for_url(f"{house.server.url}/videos/{video}")
        status = it.page.evaluate(f"async () => (await fetch('/api/v1/videos/{video}')).status")
        assert status == 404
        listed = it.page.evaluate("async () => (await (await fetch('/api/v1/videos')).json()).videos.length")
        assert listed == 0


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[str]:
    """A page of another site."""
    (tmp_path / "index.html").write_text("<!doctype html><title>Shop</title>")
    serve = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


UPLOAD = """async ([url, token]) => {
  const tus = { "Tus-Resumable": "1.0.0", Authorization: `Bearer ${token}` };
  const made = await fetch(url + "/files", { method: "POST", headers: { ...tus, "Upload-Length": "10" } });
  if (!made.ok) return { made: made.status, code: (await made.json()).code };
  const place = made.headers.get("Location");
  const type = { "Content-Type": "application/offset+octet-stream" };
  const half = await fetch(place, { method: "PATCH", headers: { ...tus, ...type, "Upload-Offset": "0" }, body: "hello" });
  const seen = await fetch(place, { method: "HEAD", headers: tus });
  return {
    made: made.status, video: made.headers.get("Fishladder-Video"), half: half.status,
    offset: seen.headers.get("Upload-Offset"), expires: seen.headers.get("Upload-Expires") !== null,
  };
}"""
WITH_COOKIE = """async (url) => {
  try {
    return (await fetch(url + "/api/v1/videos", { credentials: "include" })).status;
  } catch { return "blocked"; }
}"""


def test_a_page_of_another_site_uploads_with_a_grant_and_has_nothing_of_the_session(
    house: House, browser: Browser, shop: str
) -> None:
    url, shown = house.server.url, {"Authorization": f"Bearer {house.key}"}
    grant = httpx.post(f"{url}/api/v1/grants", headers=shown, json={"max_uploads": 1}, timeout=60).json()["token"]
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/signin")
    page.fill("#key", house.key)
    page.keyboard.press("Enter")
    page.wait_for_url(url + "/")
    page.goto(shop)
    told = page.evaluate(UPLOAD, [url, grant])
    assert told | {"video": ""} == {"made": 201, "video": "", "half": 204, "offset": "5", "expires": True}
    assert httpx.get(f"{url}/api/v1/videos/{told['video']}", headers=shown, timeout=60).status_code == 200
    assert page.evaluate(UPLOAD, [url, grant]) == {"made": 403, "code": "not_allowed"}
    assert page.evaluate(UPLOAD, [url, "nonsense"]) == {"made": 401, "code": "not_signed_in"}
    assert page.evaluate(WITH_COOKIE, url) in ("blocked", 401)
    context.close()
