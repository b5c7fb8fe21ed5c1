from __future__ import annotations

import pytest

from storage.ids import VideoId
from upload_api.settings import UploadApiSettings
from upload_api.urls import Asked, Urls, plan_urls


def asked(host: str = "127.0.0.1:8080", *, peer: str = "192.0.2.9", scheme: str = "http", **fields: str) -> Asked:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return Asked(scheme=scheme, server_port=8080, fields={"host": host} | named, peer=peer)


def bases(request: Asked, **settings: object) -> tuple[str, str]:
    urls = plan_urls(request, UploadApiSettings(**settings))  # type: ignore[arg-type]
    return urls.public, urls.origin


def test_settings_decide() -> None:
    told = bases(asked("evil.test"), public_url="https://video.example/", origin_url="https://cdn.example/")
    assert told == ("https://video.example", "https://cdn.example")


@pytest.mark.parametrize(
    ("host", "public", "origin"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8081"),
        ("192.168.1.20:8080", "http://192.168.1.20:8080", "http://192.168.1.20:8081"),
        ("laptop.local", "http://laptop.local", "http://laptop.local:8081"),
        ("fish.test:80", "http://fish.test", "http://fish.test:8081"),
        ("[::1]:8080", "http://[::1]:8080", "http://[::1]:8081"),
    ],
)
def test_a_phone_is_sent_to_the_address_it_came_by(host: str, public: str, origin: str) -> None:
    assert bases(asked(host)) == (public, origin)


def test_the_origin_keeps_the_public_host_where_only_that_is_set() -> None:
    assert bases(asked(), public_url="https://video.example")[1] == "https://video.example:8081"


@pytest.mark.parametrize(
    "fields",
    [
        {"forwarded": 'for=1.2.3.4;proto=https;host="video.example", for=10.0.0.1'},
        {"x_forwarded_proto": "https", "x_forwarded_host": "video.example"},
        {"x_forwarded_proto": "https, http", "x_forwarded_host": "video.example", "x_forwarded_port": "443"},
    ],
)
def test_a_trusted_proxy_is_believed_and_nobody_else(fields: dict[str, str]) -> None:
    trusted = ("10.0.0.0/8",)
    behind = asked("inner:8080", peer="10.1.2.3", **fields)
    assert bases(behind, trusted_proxies=trusted)[0] == "https://video.example"
    stranger = asked("inner:8080", peer="192.0.2.9", **fields)
    assert bases(stranger, trusted_proxies=trusted)[0] == "http://inner:8080"
    assert bases(behind)[0] == "http://inner:8080"


@pytest.mark.parametrize("host", ["", "a b", "x/../y", 'x"><script>', "a:99999999", "é"])
def test_a_host_that_is_none_is_not_repeated(host: str) -> None:
    assert bases(asked(host))[0] == "http://localhost:8080"


def test_the_origins_host_for_a_policy_has_no_path() -> None:
    urls = Urls(public="x", origin="https://cdn.example/fish")
    assert urls.origin_host == "https://cdn.example"
    assert urls.media(VideoId("v"), "master.m3u8") == "https://cdn.example/fish/v/v/master.m3u8"
