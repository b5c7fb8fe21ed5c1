"""`fishladder playback`: what an operator is handed, and that the origin believes it."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli.app import app
from infra.edge.purging import tags_of
from infra.edge.render import render_edge
from infra.settings import Settings
from storage.catalogue import Event
from storage.catalogue.migrations import migrate
from storage.catalogue.sql import SqlCatalogue
from storage.errors import InvalidRequest
from storage.grants import KeyRing, read_grant
from storage.ids import DEFAULT_TENANT, VideoId
from tests.journeys import an_uploaded_video

KEYS = "k1:" + "ab" * 32


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FISHLADDER_PLAYBACK_KEYS", KEYS)


@pytest.mark.parametrize("form", ["own", "cat"])
def test_a_link_holds_a_token_for_its_video_time_and_network(form: str) -> None:
    argv = ["playback", "link", "v1deo", "--hours", "2", "--address", "192.0.2.0/24", "--form", form, "--json"]
    links = json.loads(CliRunner().invoke(app, argv, standalone_mode=False).output)
    grant = read_grant(links["token"], KeyRing.parse((KEYS,)), time.time())
    assert (grant.video, grant.network) == ("v1deo", "192.0.2.0/24")
    assert abs(grant.expires_at_s - time.time() - 7200) < 60
    assert links["hls"] == f"http://127.0.0.1:8081/t/{links['token']}/v/v1deo/master.m3u8"


def test_visibility_is_set_shown_and_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'catalogue.db'}"
    migrate(url)
    catalogue = SqlCatalogue.open(url)
    video, _ = an_uploaded_video(catalogue)
    catalogue.close()
    monkeypatch.setenv("FISHLADDER_DATABASE_URL", url)

    def told(*more: str) -> str:
        return CliRunner().invoke(app, ["playback", "visibility", video, *more], standalone_mode=False).output.strip()

    assert [told(), told("signed"), told(), told("default")] == [
        "public (the default)",
        "signed",
        "signed",
        "public (the default)",
    ]


def test_signed_playback_without_a_key_is_no_setting() -> None:
    with pytest.raises(InvalidRequest, match="FISHLADDER_PLAYBACK_KEYS"):
        Settings.from_env({"FISHLADDER_VISIBILITY": "signed"})
    for keys in ("k1:beef", "k1", "k/1:" + "ab" * 32, "k1:" + "zz" * 32):
        with pytest.raises(InvalidRequest, match="FISHLADDER_PLAYBACK_KEYS"):
            Settings.from_env({"FISHLADDER_PLAYBACK_KEYS": keys})


def test_an_edge_is_not_made_of_values_that_cannot_be() -> None:
    with pytest.raises(InvalidRequest, match="ORIGIN"):
        render_edge("varnish", {})
    with pytest.raises(InvalidRequest, match="EDGE_SECRET"):
        render_edge("nginx", {"ORIGIN": "127.0.0.1:1", "EDGE_SECRET": 'x"; evil'})
    made = render_edge("nginx", {"ORIGIN": "127.0.0.1:1", "EDGE_SECRET": "s", "MEDIA_LIFETIME": "2h"})
    assert "proxy_cache_valid 200 206 2h;" in made
    assert "@" not in made


@pytest.mark.parametrize(
    ("kind", "state", "tag"),
    [
        ("state", "deleted", "v"),
        ("state", "failed", "v"),
        ("state", "ready", "v/manifest"),
        ("state", "encoding", None),
        ("progress", "deleted", None),
    ],
)
def test_an_event_makes_a_tag_worthless(kind: str, state: str, tag: str | None) -> None:
    event = Event(id=1, tenant=DEFAULT_TENANT, video=VideoId("v"), kind=kind, data={"state": state}, at_ms=0)
    assert tags_of(event) == tag


def test_base64_of_a_cat_is_what_urls_carry() -> None:
    argv = ["playback", "link", "v1deo", "--form", "cat", "--json"]
    token = json.loads(CliRunner().invoke(app, argv, standalone_mode=False).output)["token"]
    assert base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[:2] == bytes([0xD8, 61])
