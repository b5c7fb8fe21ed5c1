"""Who may: keys, scopes, tenants, sessions, grants, limits. Raw ASGI, so that what was read of a body can be told."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from storage.access import NewKey, Scope, new_token
from storage.grants import KeyRing, Visibility
from storage.ids import KeyId, TenantId, VideoId, new_grant_id
from storage.quotas import Limits
from storage.upload_grants import UploadGrant, sign_upload_grant
from tests.builders import a_new_upload
from tests.uploads import BODY_TYPE, Reply, Sending, ask, memory_ports, metadata, offset_of, patch, small_app
from tests.uploads import run_long as run
from upload_api.app import Ports
from upload_api.auth.rates import Kind, Rate, RateLimiter, arrive, parse_rates
from upload_api.auth.rules import CAPABILITY, OPEN, Door, needed, video_of
from upload_api.errors import TooManyRequests
from upload_api.urls import Asked, client_address

ACME, OTHER = TenantId("acme"), TenantId("other")
RING = KeyRing(keys={"main": b"m" * 32})
HOME = {"origin": "http://fish.test"}


@dataclass
class House:
    """A server that asks for keys, and keys to it."""

    app: FastAPI
    ports: Ports

    def key(self, *scopes: Scope, tenant: TenantId = ACME, expires_at_ms: int | None = None) -> str:
        token = new_token()
        new = NewKey(tenant=tenant, name="a key", scopes=scopes or tuple(Scope), expires_at_ms=expires_at_ms)
        self.ports.catalogue.create_key(new, token)
        return token.text

    def video(self, tenant: TenantId = ACME) -> VideoId:
        return self.ports.catalogue.create_upload(a_new_upload(tenant=tenant)).video

    @asynccontextmanager
    async def client(self, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://fish.test", headers=shown(key)) as http:
            yield http

    async def ask(self, method: str, path: str, key: str | None = None, **kwargs: Any) -> httpx.Response:
        async with self.client(key) as http:
            return await http.request(method, path, **kwargs)

    async def post_file(self, key: str | None, body: bytes | Sending = b"", **fields: str) -> Reply:
        told = {"upload-length": "5", "content-type": BODY_TYPE} | shown(key)
        return await ask(self.app, "POST", "/files", told | {k.replace("_", "-"): v for k, v in fields.items()}, body)


def shown(key: str | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {key}"}


@pytest.fixture
def house() -> House:
    return a_house()


def a_house(**changes: Any) -> House:
    ports = memory_ports()
    app = small_app(ports, needs_key=True, signing_keys=RING, **changes)
    assert isinstance(app, FastAPI)
    return House(app, ports)


# --- every door ------------------------------------------------------------------------------------------------------

OPEN_PATHS = {
    "/healthz", "/readyz", "/metrics", "/docs", "/docs/oauth2-redirect", "/openapi.json", "/signin", "/oembed",
    "/api/v1/session", "/files/{upload_id}", "/uploads/{upload_id}", "/api/v1/uploads/{upload_id}",
    "/watch/{video_id}", "/watch/{video_id}/facts", "/embed/{video_id}",
    "/assets/strings.js", "/assets/lib/{name}", "/assets/{path:path}", "/assets",
}  # fmt: skip
"""All that answers without a key. Whoever adds a path here has thought about it."""


def every_route(app: FastAPI) -> Iterator[tuple[str, str]]:
    """(method, path) of all that the app answers to."""

    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path
    for route in app.router.routes:
        for method in getattr(route, "methods", None) or {"GET", "POST", "PATCH"}:
            if path := getattr(route, "path", ""):
                yield method, path


def test_without_a_key_nothing_opens_that_is_not_listed_here(house: House) -> None:
    video = house.video()

    async def test() -> None:
        routes = {(method, path) for method, path in every_route(house.app) if path not in OPEN_PATHS}
        routes |= {("GET", "/"), ("POST", "/files"), ("GET", "/nowhere"), ("POST", "/api/v1/nothing")}
        assert len(routes) > 20
        for method, path in sorted(routes):
            if method == "OPTIONS":
                continue
            concrete = path.replace("{video_id}", video).replace("{key_id}", "k").replace("{track}", "en")
            reply = await house.ask(method, concrete, headers={"tus-resumable": "1.0.0", "upload-length": "5"})
            page = not concrete.startswith(("/api/", "/files", "/uploads")) and method in ("GET", "HEAD")
            assert reply.status_code == (303 if page else 401), (method, path, reply.text)
            if not page:
                assert reply.headers["www-authenticate"].startswith("Bearer")

    run(test())


def test_a_route_that_nobody_thought_of_is_closed() -> None:
    for path in ("/", "/new", "/api/v1/new", "/api/v1/new/thing", "/api/v2/videos", "/files/a/b", "/watch", "/assets/"):
        assert needed("GET", path).door in (Door.KEY, Door.PAGE), path
    assert needed("OPTIONS", "/files") is OPEN
    assert needed("PATCH", "/files/x") is CAPABILITY


NEEDS = [
    ("GET", "/api/v1/videos", Scope.READ),
    ("GET", "/api/v1/events", Scope.READ),
    ("GET", "/api/v1/usage", Scope.READ),
    ("HEAD", "/api/v1/videos/x", Scope.READ),
    ("PATCH", "/api/v1/videos/x", Scope.MANAGE),
    ("DELETE", "/api/v1/videos/x", Scope.MANAGE),
    ("POST", "/api/v1/videos/x/cancel", Scope.MANAGE),
    ("POST", "/api/v1/videos/actions", Scope.MANAGE),
    ("PUT", "/api/v1/videos/x/subtitles/en", Scope.MANAGE),
    ("POST", "/api/v1/videos", Scope.UPLOAD),
    ("POST", "/files", Scope.UPLOAD),
    ("POST", "/api/v1/grants", Scope.UPLOAD),
    ("GET", "/api/v1/keys", Scope.ADMIN),
    ("POST", "/api/v1/keys", Scope.ADMIN),
    ("DELETE", "/api/v1/keys/x", Scope.ADMIN),
    ("GET", "/", Scope.READ),
]


@pytest.mark.parametrize(("method", "path", "scope"), NEEDS, ids=[f"{m} {p}" for m, p, _ in NEEDS])
def test_each_door_has_its_scope(method: str, path: str, scope: Scope) -> None:
    assert needed(method, path).scope is scope


def test_a_key_opens_what_its_scopes_say_and_no_more(house: House) -> None:
    async def test() -> None:
        video = house.video()
        rows = [
            (Scope.UPLOAD, {"read": 403, "manage": 403, "admin": 403, "upload": 201}),
            (Scope.READ, {"read": 200, "manage": 403, "admin": 403, "upload": 403}),
            (Scope.MANAGE, {"read": 200, "manage": 200, "admin": 403, "upload": 403}),
            (Scope.ADMIN, {"read": 200, "manage": 200, "admin": 200, "upload": 201}),
        ]
        for scope, expected in rows:
            key = house.key(scope)
            got = {
                "read": (await house.ask("GET", f"/api/v1/videos/{video}", key)).status_code,
                "manage": (await house.ask("PATCH", f"/api/v1/videos/{video}", key, json={"title": "T"})).status_code,
                "admin": (await house.ask("GET", "/api/v1/keys", key)).status_code,
                "upload": (await house.post_file(key)).status,
            }
            assert got == expected, scope
        refused = await house.ask("GET", "/api/v1/keys", house.key(Scope.READ))
        assert (refused.json()["code"], refused.json()["scope"]) == ("missing_scope", "admin")

    run(test())


def test_nothing_of_a_body_is_read_for_who_may_not(house: House) -> None:
    async def test() -> None:
        for key in (None, house.key(Scope.READ), "fl_live_nonsense", new_token().text):
            sending = Sending([b"x" * 1000] * 5, hold=asyncio.Event())
            sending.hold.set() if sending.hold else None
            reply = await house.post_file(key, sending, expect="100-continue", upload_length="5000")
            assert reply.status in (401, 403)
            assert sending.read == 0
            assert not sending.started.is_set()
            assert reply.fields["tus-resumable"] == "1.0.0"
        for method, path in (("POST", "/api/v1/videos"), ("PATCH", f"/api/v1/videos/{house.video(OTHER)}")):
            sending = Sending([b"{" * 1000])
            fields = {"content-type": "application/json", "expect": "100-continue"}
            reply = await ask(house.app, method, path, fields | shown(house.key(Scope.UPLOAD, Scope.MANAGE)), sending)
            if method == "PATCH":
                assert (reply.status, sending.read) == (404, 0)
            reply = await ask(house.app, method, path, fields, sending)
            assert reply.status == 401
        assert list(house.ports.catalogue.videos(_everything())[0]) != []
        assert house.ports.catalogue.usage(ACME).open_uploads == 0

    run(test())


def _everything() -> Any:
    from storage.catalogue import VideoFilter

    return VideoFilter()


def test_an_override_of_the_method_opens_no_door(house: House) -> None:
    async def test() -> None:
        for method, told in (("OPTIONS", "POST"), ("GET", "POST"), ("POST", "POST")):
            fields = {"upload-length": "5", "x-http-method-override": told}
            assert (await ask(house.app, method, "/files", fields)).status == 401
        # What an override makes of a path that is none of tus's: nothing.
        video = house.video()
        fields = shown(house.key(Scope.READ)) | {"x-http-method-override": "GET"}
        assert (await ask(house.app, "DELETE", f"/api/v1/videos/{video}", fields)).status == 403

    run(test())


def test_an_uploads_address_is_all_that_it_needs_to_its_end(house: House) -> None:
    async def test() -> None:
        key = house.key(Scope.UPLOAD)
        created = await house.post_file(key)
        url, key_id = created.fields["location"], KeyId(key.split("_")[2])
        assert (await patch(house.app, url, 0, b"ab")).status == 204
        house.ports.catalogue.revoke_key(key_id)
        # Not even a key that is no good any more is in its way: clients show it with every request.
        assert (await ask(house.app, "HEAD", url, shown(key))).status == 200
        assert (await patch(house.app, url, 2, b"cde", authorization=f"Bearer {key}")).status == 204
        told = await house.ask("GET", f"/api/v1/uploads/{url.rpartition('/')[2]}")
        assert told.json()["state"] == "completed"
        assert (await house.post_file(key)).status == 401
        other = (await house.post_file(house.key(Scope.UPLOAD))).fields["location"]
        assert (await ask(house.app, "DELETE", other)).status == 204

    run(test())


def test_an_address_that_is_nobodys_is_not_there(house: House) -> None:
    async def test() -> None:
        for method in ("HEAD", "PATCH", "DELETE"):
            fields = {"content-type": BODY_TYPE, "upload-offset": "0"}
            assert (await ask(house.app, method, "/files/" + "0" * 32, fields)).status == 404

    run(test())


@pytest.mark.parametrize(
    "credential", ["Bearer", "Bearer x", "Bearer fl_live_", "bearer fl_grant_a.b.c", "Bearer a, b"]
)
def test_a_credential_that_is_no_good_is_never_nobody(house: House, credential: str) -> None:
    async def test() -> None:
        for app in (house.app, small_app(memory_ports())):  # also where no key is needed
            reply = await ask(app, "GET", "/api/v1/videos", {"authorization": credential})
            assert (reply.status, reply.problem["code"]) == (401, "not_signed_in")

    run(test())


def test_a_proxys_own_login_is_not_ours(house: House) -> None:
    async def test() -> None:
        basic = {"authorization": "Basic " + base64.b64encode(b"a:b").decode()}
        assert (await ask(small_app(memory_ports()), "GET", "/api/v1/videos", basic)).status == 200
        assert (await ask(house.app, "GET", "/api/v1/videos", basic)).status == 401

    run(test())


def test_keys_that_expired_or_were_revoked_open_nothing(house: House) -> None:
    async def test() -> None:
        assert (await house.ask("GET", "/api/v1/videos", house.key(expires_at_ms=1))).status_code == 401
        key = house.key()
        assert (await house.ask("GET", "/api/v1/videos", key)).status_code == 200
        house.ports.catalogue.revoke_key(KeyId(key.split("_")[2]))
        assert (await house.ask("GET", "/api/v1/videos", key)).status_code == 401

    run(test())


def test_a_server_that_needs_no_key_asks_for_none() -> None:
    async def test() -> None:
        app = small_app(memory_ports())
        assert (await ask(app, "POST", "/files", {"upload-length": "5"})).status == 201
        assert (await ask(app, "GET", "/")).status == 200
        session = (await ask(app, "GET", "/api/v1/session")).content
        assert json.loads(session)["needs_key"] is False

    run(test())


# --- tenants ---------------------------------------------------------------------------------------------------------


def test_another_tenants_video_answers_like_one_that_is_not_there(house: House) -> None:
    async def test() -> None:
        theirs, key = house.video(OTHER), house.key()
        paths = {path for _, path in every_route(house.app) if path.startswith("/api/v1/videos/{video_id}")}
        assert len(paths) >= 5
        for method, path in sorted(every_route(house.app)):
            if path not in paths or method == "OPTIONS":
                continue
            answers = []
            for video in (theirs, "0123456789abcdef"):
                concrete = path.replace("{video_id}", video).replace("{track}", "en")
                reply = await house.ask(method, concrete, key, json={"title": "Mine now"})
                answers.append((reply.status_code, reply.text.replace(video, "…")))
            assert answers[0] == answers[1], (method, path)
            assert answers[0][0] == 404, (method, path)
        assert house.ports.catalogue.video(theirs).title == "Film"

    run(test())


def test_lists_batches_and_usage_know_the_tenants_own_only(house: House) -> None:
    async def test() -> None:
        mine, theirs, key = house.video(), house.video(OTHER), house.key()
        listed = (await house.ask("GET", "/api/v1/videos", key)).json()["videos"]
        assert [video["id"] for video in listed] == [mine]
        done = await house.ask(
            "POST", "/api/v1/videos/actions", key, json={"action": "delete", "ids": [theirs, mine, "x"]}
        )
        assert [one["code"] for one in done.json()["results"]] == ["not_found", None, "not_found"]
        assert house.ports.catalogue.video(theirs).state == "uploading"
        assert (await house.ask("GET", "/api/v1/usage", house.key(tenant=OTHER))).json()["open_uploads"] == 1
        keys = (await house.ask("GET", "/api/v1/keys", key)).json()["keys"]
        assert {one["tenant"] for one in keys} == {"acme"}

    run(test())


def test_events_of_other_tenants_are_not_heard(house: House) -> None:
    async def test() -> None:
        feed_key = house.key(Scope.READ)
        text = ""
        heard = asyncio.Event()

        async def send(message: Any) -> None:
            nonlocal text
            text += message.get("body", b"").decode()
            if "event: hello" in text and not started.is_set():
                started.set()
            if "mine" in text:
                heard.set()

        async def receive() -> Any:
            await heard.wait()
            return {"type": "http.disconnect"}

        started = asyncio.Event()
        scope = {
            "type": "http", "method": "GET", "path": "/api/v1/events", "raw_path": b"/api/v1/events", "scheme": "http",
            "query_string": b"", "root_path": "", "headers": [(b"authorization", f"Bearer {feed_key}".encode())],
            "client": ("192.0.2.1", 1), "server": ("fish.test", 80), "http_version": "1.1", "asgi": {"version": "3.0"},
        }  # fmt: skip
        listening = asyncio.create_task(house.app(scope, receive, send))
        await started.wait()
        theirs, mine = house.video(OTHER), house.video()
        house.ports.catalogue.rename_video(theirs, "theirs")
        house.ports.catalogue.rename_video(mine, "mine")
        await listening
        assert mine in text
        assert theirs not in text

    run(test())


def test_partial_uploads_of_others_cannot_be_joined(house: House) -> None:
    async def test() -> None:
        partial = await house.post_file(house.key(tenant=OTHER), upload_concat="partial")
        fields = {"upload-concat": f"final;{partial.fields['location']}"} | shown(house.key())
        assert (await ask(house.app, "POST", "/files", fields)).status == 404

    run(test())


@pytest.mark.parametrize(
    ("path", "video"),
    [
        ("/api/v1/videos/x", "x"), ("/api/v1/videos/x/", "x"), ("/api/v1/videos/x/a/b", "x"), ("/api/v1/videos", None),
        ("/api/v1/videos/actions", None), ("/watch/x", None),
    ],
)  # fmt: skip
def test_which_video_a_path_is_about(path: str, video: str | None) -> None:
    assert video_of(path) == video


# --- sessions --------------------------------------------------------------------------------------------------------


def test_a_browser_trades_its_key_for_a_cookie_that_scripts_cannot_read(house: House) -> None:
    async def test() -> None:
        async with house.client() as http:
            assert (await http.get("/")).headers["location"] == "/signin?next=%2F"
            assert (await http.get("/signin")).status_code == 200
            assert (await http.get("/api/v1/session")).status_code == 401
            signed = await http.post("/api/v1/session", json={"key": f" {house.key()}\n"}, headers=HOME)
            assert signed.json()["scopes"] == ["admin", "manage", "read", "upload"]
            cookie = signed.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=strict" in cookie
            assert "Path=/" in cookie
            assert "Secure" not in cookie  # the page itself came over plain HTTP
            assert "Domain" not in cookie
            assert (await http.get("/")).status_code == 200
            assert (await http.get("/api/v1/session")).json()["tenant"] == "acme"
            assert (await http.delete("/api/v1/session", headers=HOME)).status_code == 204
            assert (await http.get("/api/v1/session")).status_code == 401

    run(test())


def test_behind_tls_the_cookie_is_for_tls_only() -> None:
    async def test() -> None:
        house = a_house(public_url="https://video.test")
        origin = {"origin": "https://video.test"}
        signed = await house.ask("POST", "/api/v1/session", json={"key": house.key()}, headers=origin)
        assert "Secure" in signed.headers["set-cookie"]

    run(test())


@pytest.mark.parametrize(
    "fields",
    [{}, {"origin": "https://evil.test"}, {"origin": "null"}, {"origin": "http://fish.test.evil.test"},
     {"sec-fetch-site": "cross-site"}, {"origin": "http://fish.test:81"}],
)  # fmt: skip
def test_another_sites_page_cannot_act_with_the_cookie(house: House, fields: dict[str, str]) -> None:
    async def test() -> None:
        video = house.video()
        async with house.client() as http:
            await http.post("/api/v1/session", json={"key": house.key()}, headers=HOME)
            for method, path in (("DELETE", f"/api/v1/videos/{video}"), ("DELETE", "/api/v1/session")):
                refused = await http.request(method, path, headers=fields)
                assert (refused.status_code, refused.json()["code"]) == (403, "foreign_origin")
            tus = {"tus-resumable": "1.0.0", "upload-length": "5"}
            assert (await http.post("/files", headers=tus | fields)).status_code == 403
            assert (await http.post("/api/v1/session", json={"key": house.key()}, headers=fields)).status_code == 403
            assert (await http.get("/api/v1/session")).status_code == 200
            assert (await http.post("/files", headers=tus | HOME)).status_code == 201
            assert (await http.delete(f"/api/v1/videos/{video}", headers=HOME)).status_code == 204

    run(test())


def test_a_session_ends_with_its_time_its_key_or_a_changed_letter() -> None:
    async def test() -> None:
        house = a_house(session_lifetime_s=0.0)
        async with house.client() as http:
            await http.post("/api/v1/session", json={"key": house.key()}, headers=HOME)
            assert (await http.get("/api/v1/session")).status_code == 401
        house = a_house()
        async with house.client() as http:
            key = house.key()
            await http.post("/api/v1/session", json={"key": key}, headers=HOME)
            cookie = http.cookies["fishladder_session"]
            house.ports.catalogue.revoke_key(KeyId(key.split("_")[2]))
            assert (await http.get("/api/v1/session")).status_code == 401
        forged = {"cookie": f"fishladder_session={cookie[:-2]}aa"}
        assert (await house.ask("GET", "/api/v1/session", headers=forged)).status_code == 401

    run(test())


def test_signing_in_with_no_key_or_a_wrong_one_is_refused_and_slowed_down(house: House) -> None:
    async def test() -> None:
        for key in ("", "nonsense", new_token().text):
            refused = await house.ask("POST", "/api/v1/session", json={"key": key}, headers=HOME)
            assert refused.status_code == 401
            assert key == "" or key not in refused.text
        wrong = [(await house.ask("GET", "/api/v1/videos", new_token().text)).status_code for _ in range(40)]
        assert 429 in wrong
        assert (
            await house.ask("GET", "/api/v1/videos", house.key())
        ).status_code == 200  # who has a key is not kept out
        large = await house.ask("POST", "/api/v1/session", json={"key": "x" * 100_000}, headers=HOME)
        assert large.status_code == 413

    run(test())


# --- keys over HTTP --------------------------------------------------------------------------------------------------


def test_keys_are_made_shown_once_and_revoked_over_http(house: House) -> None:
    async def test() -> None:
        admin = house.key(Scope.ADMIN)
        wanted = {"name": "backend", "scopes": ["upload", "read"], "expires_in_days": 1}
        made = (await house.ask("POST", "/api/v1/keys", admin, json=wanted)).json()
        assert (made["tenant"], made["scopes"], made["revoked_at"]) == ("acme", ["read", "upload"], None)
        assert (await house.ask("GET", "/api/v1/videos", made["token"])).status_code == 200
        known = (await house.ask("GET", f"/api/v1/keys/{made['id']}", admin)).json()
        assert "token" not in known
        assert known["last_used_at"] is not None
        assert made["token"] not in (await house.ask("GET", "/api/v1/keys", admin)).text
        assert (await house.ask("DELETE", f"/api/v1/keys/{made['id']}", admin)).json()["revoked_at"] is not None
        assert (await house.ask("GET", "/api/v1/videos", made["token"])).status_code == 401
        stranger = house.key(Scope.ADMIN, tenant=OTHER)
        assert (await house.ask("DELETE", f"/api/v1/keys/{made['id']}", stranger)).status_code == 404
        for wrong in ({"name": "", "scopes": ["read"]}, {"name": "x", "scopes": []}, {"name": "x", "scopes": ["root"]}):
            assert (await house.ask("POST", "/api/v1/keys", admin, json=wrong)).status_code == 422

    run(test())


# --- grants ----------------------------------------------------------------------------------------------------------


def a_grant(**changes: Any) -> str:
    values: dict[str, Any] = {"id": new_grant_id(), "tenant": ACME, "expires_at_s": int(time.time()) + 600}
    return sign_upload_grant(UploadGrant(**values | changes), RING)


def test_a_grant_begins_an_upload_and_opens_nothing_else(house: House) -> None:
    async def test() -> None:
        asked = {"lane": "bulk", "metadata": {"title": "Take 3", "user": "42"}, "max_bytes": 10}
        granted = (await house.ask("POST", "/api/v1/grants", house.key(Scope.UPLOAD), json=asked)).json()
        assert granted["upload_url"] == "http://fish.test/files"
        token = granted["token"]
        created = await house.post_file(token, upload_metadata=metadata(title="Mine", filename="a.mp4"))
        video = house.ports.catalogue.video(VideoId(created.fields["fishladder-video"]))
        assert (video.tenant, video.title, video.lane, video.filename) == (ACME, "Take 3", "bulk", "a.mp4")
        told = await house.ask("GET", f"/api/v1/uploads/{created.fields['location'].rpartition('/')[2]}")
        assert told.json()["metadata"] == {"title": "Take 3", "user": "42"}
        assert (await patch(house.app, created.fields["location"], 0, b"hello")).status == 204
        for method, path in (
            ("GET", "/api/v1/videos"),
            ("GET", f"/api/v1/videos/{video.id}"),
            ("POST", "/api/v1/keys"),
        ):
            assert (await house.ask(method, path, token)).status_code == 403
        assert (await house.ask("POST", "/api/v1/grants", token, json={})).status_code == 403

    run(test())


def test_a_grant_holds_uploads_to_what_it_says(house: House) -> None:
    async def test() -> None:
        small = a_grant(max_bytes=4)
        refused = await house.post_file(small)
        assert (refused.status, refused.problem["code"]) == (413, "too_large")
        films = a_grant(types=("video/*", "application/mxf"), max_uploads=9)
        for kind, status in (
            ("video/mp4", 201),
            ("VIDEO/MP4; codecs=x", 201),
            ("application/mxf", 201),
            ("text/html", 403),
        ):
            assert (await house.post_file(films, upload_metadata=metadata(filetype=kind))).status == status, kind
        assert (await house.post_file(films)).status == 403
        bulk = a_grant(lane="bulk")
        assert (await house.post_file(bulk, upload_metadata=metadata(priority="interactive"))).status == 403
        once = a_grant()
        assert [(await house.post_file(once)).status for _ in range(2)] == [201, 403]

    run(test())


def test_an_upload_of_unknown_length_grows_no_further_than_granted(house: House) -> None:
    async def test() -> None:
        fields = {"upload-defer-length": "1"} | shown(a_grant(max_bytes=100))
        url = (await ask(house.app, "POST", "/files", fields)).fields["location"]
        assert (await patch(house.app, url, 0, b"x" * 101)).status == 413
        assert (await patch(house.app, url, 0, Sending([b"x" * 60, b"x" * 60]))).status == 413
        assert await offset_of(house.app, url) == 100
        assert (await patch(house.app, url, 100, b"", upload_length="101")).status == 413

    run(test())


def test_grants_end_with_their_time_their_key_and_a_changed_letter(house: House) -> None:
    async def test() -> None:
        assert (await house.post_file(a_grant(expires_at_s=int(time.time()) - 1))).status == 401
        key = house.key(Scope.UPLOAD)
        granted = (await house.ask("POST", "/api/v1/grants", key, json={})).json()["token"]
        house.ports.catalogue.revoke_key(KeyId(key.split("_")[2]))
        assert (await house.post_file(granted)).status == 401
        good = a_grant()
        assert (await house.post_file(good[:-3] + "aaa")).status == 401
        assert (await house.post_file(good)).status == 201
        assert (await house.ask("POST", "/api/v1/grants", house.key(Scope.READ), json={})).status_code == 403

    run(test())


# --- quotas and rates ------------------------------------------------------------------------------------------------


def test_a_quota_is_reserved_at_creation_and_given_back_at_termination(house: House) -> None:
    async def test() -> None:
        house.ports.catalogue.set_limits(ACME, Limits(stored_bytes=9, open_uploads=1))
        key = house.key()
        first = await house.post_file(key)
        refused = await house.post_file(key, b"hello")
        assert (refused.status, refused.problem["code"], refused.problem["quota"]) == (
            403,
            "over_quota",
            "open_uploads",
        )
        assert refused.read_bytes in (0, 5)  # thrown away behind the answer
        assert (await ask(house.app, "DELETE", first.fields["location"])).status == 204
        assert (await house.post_file(key, upload_length="10")).problem["quota"] == "stored_bytes"
        assert (await house.post_file(key, upload_length="9")).status == 201
        usage = (await house.ask("GET", "/api/v1/usage", key)).json()
        assert (usage["stored_bytes"], usage["limits"]["stored_bytes"]) == (9, 9)

    run(test())


def test_too_many_requests_are_told_when_to_come_again_and_a_head_that_it_is_busy() -> None:
    async def test() -> None:
        house = a_house(rate_limits=("address=1",))
        url = (await house.post_file(house.key())).fields["location"]
        replies = [
            await ask(house.app, "PATCH", url, {"upload-offset": "0", "content-type": BODY_TYPE}) for _ in range(9)
        ]
        limited = [reply for reply in replies if reply.status == 429]
        assert limited
        assert limited[0].problem["code"] == "too_many_requests"
        assert int(limited[0].fields["retry-after"]) >= 1
        busy = await ask(house.app, "HEAD", url)
        assert busy.status == 423  # on anything else tus-js-client begins anew
        assert int(busy.fields["retry-after"]) >= 1
        assert (await ask(house.app, "GET", "/api/v1/videos", shown(house.key()))).status == 429
        assert (await house.ask("GET", "/healthz")).status_code == 200

    run(test())


def test_keys_and_tenants_are_limited_each_by_themselves() -> None:
    async def test() -> None:
        house = a_house(rate_limits=("key=1",))
        first, second = house.key(), house.key()
        statuses = [(await house.ask("GET", "/api/v1/videos", first)).status_code for _ in range(9)]
        assert 429 in statuses
        assert (await house.ask("GET", "/api/v1/videos", second)).status_code == 200
        house = a_house(rate_limits=("tenant=1",))
        statuses = [(await house.ask("GET", "/api/v1/videos", house.key())).status_code for _ in range(9)]
        assert 429 in statuses
        assert (await house.ask("GET", "/api/v1/videos", house.key(tenant=OTHER))).status_code == 200

    run(test())


def test_a_bucket_lets_a_burst_in_and_then_its_rate() -> None:
    rate = Rate(per_s=2, burst=4)
    full_at, now = 0.0, 100.0
    for _ in range(4):
        full_at, wait_s = arrive(full_at, now, rate)
        assert wait_s == 0
    assert arrive(full_at, now, rate) == (full_at, 0.5)
    assert arrive(full_at, now + 0.5, rate)[1] == 0


def test_callers_that_were_quiet_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upload_api.auth.rates.MAX_REMEMBERED", 10)
    now = 0.0
    limiter = RateLimiter({Kind.ADDRESS: Rate(per_s=10, burst=1)}, lambda: now)
    for number in range(100):
        now += 1
        limiter.check(Kind.ADDRESS, str(number))
    assert len(limiter._full_at) <= 11
    with pytest.raises(TooManyRequests):
        limiter.check(Kind.ADDRESS, "99")


@pytest.mark.parametrize("wrong", ["address", "address=", "address=0", "people=3", "refused=1"])
def test_rates_that_make_no_sense_are_refused(wrong: str) -> None:
    with pytest.raises(Exception, match="Rate limits"):
        parse_rates((wrong,))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # anybody can write that
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        (None, "198.51.100.7", None),
    ],
)
def test_the_address_of_who_asks_is_the_last_hop_that_is_not_ours(
    peer: str | None, forwarded: str, address: str | None
) -> None:
    asked = Asked(scheme="http", server_port=80, fields={"x-forwarded-for": forwarded}, peer=peer)
    assert client_address(asked, ("10.0.0.0/8",)) == address


# --- browsers of other sites, and logs -------------------------------------------------------------------------------


def test_uppy_on_another_site_may_upload_with_a_grant(house: House) -> None:
    async def test() -> None:
        origin = {"origin": "https://shop.test"}
        wanted = "authorization,tus-resumable,upload-length,upload-metadata"
        preflight = await house.ask(
            "OPTIONS", "/files",
            headers=origin | {"access-control-request-method": "POST", "access-control-request-headers": wanted},
        )  # fmt: skip
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
        assert "access-control-allow-credentials" not in preflight.headers  # no cookie works from there
        created = await house.post_file(a_grant(), **origin)
        assert created.status == 201
        exposed = created.fields["access-control-expose-headers"]
        for name in ("Location", "Fishladder-Video", "Upload-Offset", "Upload-Expires", "Retry-After"):
            assert name in exposed
        refused = await house.post_file(None, **origin)
        assert refused.status == 401
        assert refused.fields["access-control-allow-origin"] == "*"  # else the page could not read why
        choosy = a_house(cors_origins=("https://shop.test",))
        other = await choosy.post_file(a_grant(), origin="https://elsewhere.test")
        assert "access-control-allow-origin" not in other.fields

    run(test())


def test_who_may_only_upload_does_not_see_signed_videos() -> None:
    house = a_house(visibility=Visibility.SIGNED, playback_keys=KeyRing(keys={"k1": b"p" * 32}))
    video = house.video()
    grant = UploadGrant(id=new_grant_id(), tenant=ACME, expires_at_s=int(time.time()) + 600, max_uploads=1)

    async def test() -> None:
        for token, status in (
            (house.key(Scope.READ), 200),
            (house.key(Scope.UPLOAD), 404),
            (sign_upload_grant(grant, RING), 404),
            (house.key(Scope.READ, tenant=OTHER), 404),
            (None, 404),
        ):
            for path in (f"/watch/{video}", f"/watch/{video}/facts", f"/embed/{video}"):
                assert (await house.ask("GET", path, token)).status_code == status, (path, token)

    run(test())


def test_no_secret_is_logged(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    secrets: list[str] = []

    async def test() -> None:
        admin = house.key(Scope.ADMIN)
        secrets.append(admin)
        async with house.client() as http:
            await http.post("/api/v1/session", json={"key": admin}, headers=HOME)
            secrets.append(http.cookies["fishladder_session"])
        made = (await house.ask("POST", "/api/v1/keys", admin, json={"name": "x", "scopes": ["upload"]})).json()
        grant = (await house.ask("POST", "/api/v1/grants", made["token"], json={})).json()["token"]
        secrets.extend((made["token"], grant))
        url = (await house.post_file(grant)).fields["location"]
        secrets.append(url.rpartition("/")[2])
        await patch(house.app, url, 0, b"hel")
        await patch(house.app, url, 3, b"lo")
        await house.ask("DELETE", f"/api/v1/keys/{made['id']}", admin)
        await house.post_file(grant)
        await house.post_file(made["token"])
        await house.ask("POST", "/api/v1/session", json={"key": made["token"]}, headers=HOME)
        await ask(house.app, "DELETE", url)
        metrics = (await house.ask("GET", "/metrics")).text
        assert not [secret for secret in secrets if secret in metrics]

    run(test())
    told = "".join(capfd.readouterr())
    assert "key_created" in told
    assert "upload_created" in told
    assert len(secrets) == 5
    for secret in secrets:
        assert secret not in told
        assert secret[-32:] not in told
