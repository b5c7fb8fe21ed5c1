"""The command line: helps with examples, exit codes, and what it makes of answers."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from rich.console import Console
from rich.progress import Progress
from typer.testing import CliRunner

from infra.cli import app as cli
from infra.cli.api import Api, problem
from infra.cli.console import FAILED, REFUSED, Speed, exit_code
from infra.cli.sending import UrlFiles, fingerprint
from infra.cli.uploads import addresses, follow
from storage import errors
from tests.errors import errors_of


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the machine that runs the tests."""
    for name in [name for name in os.environ if name.startswith("FISHLADDER_")]:
        monkeypatch.delenv(name)


def run(monkeypatch: pytest.MonkeyPatch, *argv: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fishladder", *argv])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert isinstance(left.value.code, int)
    return left.value.code


def verbs(group: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every verb and group of verbs, as it is typed."""
    for command in group.registered_commands:
        assert command.callback is not None
        yield (*path, command.name or command.callback.__name__)
    for inner in group.registered_groups:
        assert inner.name is not None
        assert inner.typer_instance is not None
        yield (*path, inner.name)
        yield from verbs(inner.typer_instance, (*path, inner.name))


@pytest.mark.parametrize("verb", list(verbs(cli.app)), ids=" ".join)
def test_every_verb_helps_with_examples(verb: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(cli.app, [*verb, "--help"], env={"COLUMNS": "160"})
    assert answer.exit_code == 0, answer.output
    assert "Examples:" in answer.output
    assert f"fishladder {verb[0]}" in answer.output


def test_the_verbs_of_the_contract_are_there() -> None:
    there = {" ".join(verb) for verb in verbs(cli.app)}
    assert {
        *("up", "open", "upload", "encode", "inspect", "plan", "work", "migrate", "settings"),
        *("videos list", "videos show", "videos delete", "videos cancel", "videos retry"),
        *("jobs list", "jobs show", "serve upload-api", "serve origin"),
    } <= there


@pytest.mark.parametrize(
    "argv",
    [("--no-such-flag",), ("no-such-verb",), ("plan",), ("plan", "/nowhere/film.mp4"), ("upload", "/nowhere/film.mp4")],
    ids=" ".join,
)
def test_what_is_wrongly_asked_is_refused_with_1(
    argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *argv) == REFUSED
    assert capsys.readouterr().err


def test_a_server_that_does_not_answer_is_2_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "videos", "list", "--server", "http://127.0.0.1:9") == FAILED
    assert "Nothing answers at http://127.0.0.1:9. Start it with `fishladder up`" in capsys.readouterr().err


def test_a_bug_of_ours_is_2_and_shown_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise TypeError("a bug")

    monkeypatch.setattr("infra.cli.services.configured", broken)
    assert run(monkeypatch, "settings") == FAILED
    assert "TypeError: a bug" in capsys.readouterr().err


def test_an_unknown_setting_is_refused_before_anything_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FISHLADDER_PUBLICURL", "http://x")
    assert run(monkeypatch, "videos", "list") == REFUSED
    assert "Did you mean FISHLADDER_PUBLIC_URL?" in capsys.readouterr().err


def test_settings_as_json_hide_secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FISHLADDER_S3_SECRET_KEY", "hunter2")
    assert run(monkeypatch, "settings", "--json") == 0
    told = capsys.readouterr().out
    assert '"FISHLADDER_S3_SECRET_KEY"' in told
    assert "hunter2" not in told


@pytest.mark.parametrize("can", [True, False], ids=["a browser", "no browser"])
def test_open_starts_the_browser_where_the_web_app_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], can: bool
) -> None:
    opened: list[str] = []
    monkeypatch.setenv("FISHLADDER_UPLOAD_API_PORT", "18080")
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or can)
    assert run(monkeypatch, "open") == 0
    said = capsys.readouterr()
    assert opened == [said.out.strip()] == ["http://127.0.0.1:18080"]
    assert ("open that address yourself" in said.err) is not can


def test_every_error_has_an_exit_code_and_refusals_are_told_from_failures() -> None:
    for kind in errors_of("storage", "upload_api", "workers", "origin", "packager"):
        refused = issubclass(kind, errors.Rejected | errors.NotFoundOrConflict)
        assert exit_code(kind("sentence")) == (REFUSED if refused else FAILED), kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Rejected),
        (403, errors.NotAllowed),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.Rejected),
        (429, errors.Unavailable),
        (500, errors.Unavailable),
        (503, errors.Unavailable),
    ],
)
def test_answers_become_our_errors_with_their_sentence(status: int, kind: type[errors.FishladderError]) -> None:
    made = problem(status, b'{"title": "No", "detail": "The sea is closed."}')
    assert isinstance(made, kind)
    assert made.sentence == "The sea is closed."
    assert problem(status, b"<html>").sentence == f"The server answered with status {status}."


def test_the_api_asks_what_it_is_told_to() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.raw_path.decode()}")
        return httpx.Response(204) if request.method == "DELETE" else httpx.Response(200, json={"id": "v"})

    with Api("http://ladder.test/", httpx.MockTransport(answer)) as api:
        assert api.get("/api/v1/videos", limit=2) == {"id": "v"}
        assert api.post("/api/v1/videos/v/retry") == {"id": "v"}
        assert api.delete("/api/v1/videos/v") is None
    assert asked == ["GET /api/v1/videos?limit=2", "POST /api/v1/videos/v/retry", "DELETE /api/v1/videos/v"]


def test_an_upload_that_was_over_at_once_has_a_speed() -> None:
    seconds = iter(range(100))
    with Progress(Speed(), console=Console(file=io.StringIO()), get_time=lambda: next(seconds) / 10) as progress:
        progress.add_task("Uploading", total=1000)
        [sent] = progress.tasks
        assert str(Speed().render(sent)) == ""
        progress.update(sent.id, completed=1000)
        assert sent.finished_time
        assert str(Speed().render(sent)).endswith("kB/s")


def test_upload_urls_are_kept_per_server_for_their_owner_only(tmp_path: Path) -> None:
    here, there = UrlFiles(tmp_path, "http://a"), UrlFiles(tmp_path, "http://b")
    assert here.get("k") is None
    here.put("k", "http://a/files/1")
    assert here.get("k") == "http://a/files/1"
    assert there.get("k") is None
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept.stat().st_mode & 0o777 == 0o600
    here.remove("k")
    assert here.get("k") is None


def test_files_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    prints = []
    for name in ("a", "b"):
        file = tmp_path / name
        file.write_bytes(b"x" * 100_000)
        prints.append(fingerprint(file))
        assert fingerprint(file) == prints[-1]
    assert prints[0] != prints[1]


def test_only_addresses_that_answer_are_printed() -> None:
    video: dict[str, Any] = {"watch_url": "http://w", "hls_url": None, "dash_url": "http://d"}
    assert addresses(video) == "Watch: http://w\nDASH:  http://d"


class FakeServer:
    """Answers for one video that moves on each time it is asked."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        video = {
            "id": "v",
            "title": "[/red] :smile: film",
            "state": state,
            "progress": 0.5,
            "reason": "It is a letter." if state == "rejected" else None,
            "notes": [],
            "watch_url": "http://ladder.test/watch/v",
            "hls_url": "http://ladder.test/" + "long/" * 30 + "master.m3u8",
            "dash_url": None,
        }
        return httpx.Response(200, json={"videos": [video]} if request.url.path == "/api/v1/videos" else video)


def test_addresses_are_results_and_come_once_whole_and_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("infra.cli.uploads._POLL_S", 0)
    server = FakeServer("inspecting", "encoding", "playable", "playable", "ready")
    with Api("http://ladder.test", httpx.MockTransport(server)) as api:
        assert follow(api, "v")["state"] == "ready"
    assert capsys.readouterr().out.splitlines() == [
        "Watch: http://ladder.test/watch/v",
        "HLS:   http://ladder.test/" + "long/" * 30 + "master.m3u8",
    ]


def test_a_video_that_is_rejected_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("infra.cli.uploads._POLL_S", 0)
    with Api("http://ladder.test", httpx.MockTransport(FakeServer("inspecting", "rejected"))) as api:
        assert follow(api, "v")["state"] == "rejected"
    told = capsys.readouterr()
    assert told.out == ""
    assert "[/red] :smile: film is rejected: It is a letter." in told.err


@pytest.mark.parametrize("verb", [("list",), ("show", "v")], ids=" ".join)
def test_titles_are_shown_as_they_are(
    verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering = httpx.MockTransport(FakeServer("ready"))
    monkeypatch.setattr("infra.cli.videos.Api", lambda server, **_: Api(server, answering))
    assert run(monkeypatch, "videos", *verb) == 0
    assert "[/red] :smile: film" in capsys.readouterr().out
