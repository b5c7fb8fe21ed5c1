"""Where nobody is asked for a key: which pages may act, and by which names the server is known."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.journeys import a_ready_video
from tests.uploads import memory_ports, run, small_app, small_settings
from upload_api.auth.guests import check_guest
from upload_api.errors import ForeignHost, ForeignOrigin
from upload_api.urls import Asked

EVIL = {"origin": "https://evil.test", "sec-fetch-site": "cross-site"}
TUS = {"tus-resumable": "1.0.0", "upload-length": "5"}


def guest(method: str, fields: dict[str, str], peer: str = "127.0.0.1", **changes: Any) -> None:
    asked = Asked(scheme="http", server_port=8080, fields={"host": "fish.test"} | fields, peer=peer)
    check_guest(method, asked, small_settings(**changes))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"origin": "http://fish.test"},
        {"host": "localhost:8080", "origin": "http://localhost:8080"},
        {"host": "192.0.2.7:8080", "origin": "http://192.0.2.7:8080"},
        {"sec-fetch-site": "same-origin"},
        {"origin": "https://app.test", "sec-fetch-site": "cross-site"},
    ],
)
def test_programs_and_our_own_pages_may_act(fields: dict[str, str]) -> None:
    guest("DELETE", fields, cors_origins=("https://APP.test/",))


@pytest.mark.parametrize(
    "fields",
    [
        EVIL,
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://fish.test:81"},
        {"origin": "http://fish.test.evil.test"},
        {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:3000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_others_may_not(fields: dict[str, str]) -> None:
    with pytest.raises(ForeignOrigin, match="FISHLADDER_CORS_ORIGINS"):
        guest("POST", fields, cors_origins=("https://app.test",))
    guest("GET", fields)
    guest("POST", fields, cors_origins=("*",))


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "[::1]:8080", "10.1.2.3", "a.localhost", "fish.test.", "films.test", ""]
)
def test_a_server_answers_to_its_own_names(host: str) -> None:
    guest("GET", {"host": host}, cors_origins=("http://films.test:8080",))


@pytest.mark.parametrize(
    "host", ["evil.test", "fish.test.evil.test", "127.0.0.1.evil.test", "[", "localhost.evil", "a, b"]
)
def test_a_name_that_somebody_pointed_at_us_is_not_ours(host: str) -> None:
    with pytest.raises(ForeignHost, match="FISHLADDER_PUBLIC_URL"):
        guest("GET", {"host": host, "origin": f"http://{host}"})


def test_a_proxy_of_ours_may_call_us_what_it_likes() -> None:
    proxied = {"host": "upload-api:8080", "x-forwarded-host": "video.test"}
    guest("GET", proxied, peer="10.0.0.5", trusted_proxies=("10.0.0.0/8",))
    guest("POST", proxied | {"origin": "https://video.test"}, peer="10.0.0.5", trusted_proxies=("10.0.0.0/8",))
    with pytest.raises(ForeignOrigin):
        guest("POST", proxied | EVIL, peer="10.0.0.5", trusted_proxies=("10.0.0.0/8",))
    with pytest.raises(ForeignHost):  # a browser may sit beside a proxy on our own machine
        guest("GET", proxied, peer="127.0.0.1", trusted_proxies=("127.0.0.0/8",))


def test_a_foreign_page_can_neither_command_nor_read_an_open_house() -> None:
    async def test() -> None:
        ports = memory_ports()
        video = a_ready_video(ports.catalogue)  # type: ignore[arg-type]  # the fixture's catalogue is one in memory
        transport = httpx.ASGITransport(app=small_app(ports))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=EVIL) as http:
            for method, path in (
                ("POST", "/api/v1/keys"),
                ("DELETE", f"/api/v1/videos/{video}"),
                ("POST", "/api/v1/videos"),
                ("POST", "/files"),
                ("PATCH", "/files/any"),
                ("DELETE", "/files/any"),
                ("POST", "/uploads"),
            ):
                wanted = {"access-control-request-method": method}
                preflight = await http.options(path, headers=wanted)
                assert "access-control-allow-origin" not in preflight.headers
                assert preflight.status_code == 400
                reply = await http.request(method, path, headers=TUS, json={"name": "x", "scopes": ["admin"]})
                assert (reply.status_code, reply.json()["code"]) == (403, "foreign_origin"), path
            told = await http.get("/api/v1/videos")
            assert "access-control-allow-origin" not in told.headers
            rebound = await http.get("/api/v1/videos", headers={"host": "evil.test:8080"})
            assert (rebound.status_code, rebound.json()["code"]) == (421, "foreign_host")
            for path in (
                "/healthz",
                f"/watch/{video}",
                f"/embed/{video}",
                f"/oembed?url=http://fish.test/watch/{video}",
            ):
                assert (await http.get(path, headers={"host": "upload-api:8080"})).status_code == 200, path
        assert ports.catalogue.keys(ports.catalogue.tenant_of(video)) == ()
        assert ports.catalogue.video(video).state == "ready"

    run(test())


def test_an_origin_that_the_operator_names_may_do_all() -> None:
    async def test() -> None:
        transport = httpx.ASGITransport(app=small_app(memory_ports(), cors_origins=("https://evil.test",)))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=EVIL) as http:
            preflight = await http.options("/files", headers={"access-control-request-method": "POST"})
            assert preflight.headers["access-control-allow-origin"] == "https://evil.test"
            made = await http.post("/files", headers=TUS)
            assert (made.status_code, made.headers["access-control-allow-origin"]) == (201, "https://evil.test")

    run(test())
