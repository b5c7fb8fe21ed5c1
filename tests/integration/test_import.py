"""Imports by real processes over PostgreSQL: one that is killed, and the command line's batch from a folder and from a
bucket. What they do over SQLite is tested in process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from storage.blobs.local import LocalBlobs
from storage.blobs.s3 import S3Blobs, S3Settings
from storage.catalogue.sql.engine import open_engine
from storage.ids import VideoId
from storage.keys import source_key
from tests.file_server import FileServer, serving
from tests.services import seaweedfs
from tests.upload_server import PART_BYTES, UploadServer, running

pytestmark = pytest.mark.integration


@pytest.fixture
def database(postgres_url: str) -> str:
    """One of its own for each test."""
    name = f"imports_{secrets.token_hex(4)}"
    engine = open_engine(postgres_url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)


FILM = b"\x1a\x45\xdf\xa3" + random.Random(23).randbytes(4 * PART_BYTES + 12_345)  # what Matroska begins with


@contextmanager
def threaded(files: FileServer) -> Iterator[FileServer]:
    """``files``, served from a thread."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with serving(files):
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(60)
    try:
        yield files
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def video(server: UploadServer, video_id: str) -> dict[str, Any]:
    return dict(httpx.get(f"{server.url}/api/v1/videos/{video_id}", timeout=30).json())


def stored(folder: Path, video_id: str) -> str:
    return hashlib.sha256(LocalBlobs(folder / "store").get(source_key(VideoId(video_id)))).hexdigest()


def eventually(server: UploadServer, video_id: str, what: str, enough: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    while not enough((found := video(server, video_id))[what]):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_an_import_goes_on_after_its_server_was_killed(tmp_path: Path, database: str) -> None:
    with threaded(FileServer(FILM, cuts=[2 * PART_BYTES + 100], stall=True)) as files:
        with running(tmp_path, database=database) as server:
            reply = httpx.post(f"{server.url}/api/v1/videos", json={"source_url": files.url()}, timeout=30)
            assert reply.status_code == 202, reply.text
            video_id = reply.json()["id"]
            eventually(server, video_id, "received_bytes", lambda size: size == 2 * PART_BYTES)
            server.kill()
        with running(tmp_path, database=database) as server:
            found = eventually(server, video_id, "state", lambda state: state != "uploading")
            assert (found["state"], found["source_bytes"]) == ("inspecting", len(FILM))
        assert stored(tmp_path, video_id) == hashlib.sha256(FILM).hexdigest()
        assert files.asked[-1]["range"] == f"bytes={2 * PART_BYTES}-"


def fishladder(folder: Path, *argv: str, code: int = 0) -> Any:
    env = {name: value for name, value in os.environ.items() if not name.startswith("FISHLADDER_")}
    env |= {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_STATE_HOME": str(folder / "state")}
    done = subprocess.run(
        [sys.executable, "-m", "infra", *argv], env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout)


def test_a_folder_is_imported_once(tmp_path: Path, database: str) -> None:
    films = tmp_path / "films"
    (films / "inner").mkdir(parents=True)
    (films / "a.mkv").write_bytes(FILM)
    (films / "inner" / "b é.mkv").write_bytes(FILM[:100_000])
    (films / "notes.txt").write_text("no film")
    (films / ".hidden.mkv").write_bytes(FILM)
    with running(tmp_path, database=database) as server:
        argv = ("import", str(films), "--server", server.url, "--json")
        first = fishladder(tmp_path, *argv)
        assert [Path(each["source"]).name for each in first] == ["a.mkv", "b é.mkv", "notes.txt"]
        assert [each["result"] for each in first] == ["imported", "imported", "not a video"]
        assert stored(tmp_path, first[0]["video_id"]) == hashlib.sha256(FILM).hexdigest()
        (films / "c.mkv").write_bytes(FILM[:200_000])
        second = fishladder(tmp_path, *argv)
        assert [each["result"] for each in second] == ["already there", "imported", "already there", "not a video"]
        httpx.delete(f"{server.url}/api/v1/videos/{first[0]['video_id']}", timeout=30).raise_for_status()
        third = fishladder(tmp_path, *argv)
        assert [each["result"] for each in third].count("imported") == 1
        assert len(httpx.get(f"{server.url}/api/v1/videos", timeout=30).json()["videos"]) == 3


def test_an_address_is_imported_and_a_bad_one_told(tmp_path: Path, database: str) -> None:
    with threaded(FileServer(FILM)) as files, running(tmp_path, database=database) as server:
        options = ("--server", server.url, "--json")
        (good,) = fishladder(tmp_path, "import", files.url(), *options)
        assert good["result"] == "imported"
        assert stored(tmp_path, good["video_id"]) == hashlib.sha256(FILM).hexdigest()
        files.status = 404
        again, gone = fishladder(tmp_path, "import", files.url(), files.url() + "&other", *options, code=1)
        assert (again["result"], again["video_id"]) == ("already there", good["video_id"])
        assert gone["result"] == "failed"
        assert "404" in gone["reason"]


def test_a_prefix_of_a_bucket_is_imported_once(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with seaweedfs(tmp_path / "weed") as s3, running(tmp_path, database=database) as server:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
        archive = S3Blobs(
            S3Settings(bucket="archive", endpoint_url=s3.url, access_key=s3.access_key, secret_key=s3.secret_key)
        )
        archive.ensure_bucket()
        archive.put("2025/a.mkv", FILM)
        archive.put("2025/list.txt", b"no film")
        archive.put("2024/old.mkv", FILM)
        argv = ("import", "s3://archive/2025/", "--endpoint", s3.url, "--server", server.url, "--json")
        first = fishladder(tmp_path, *argv)
        assert [each["source"] for each in first] == ["s3://archive/2025/a.mkv", "s3://archive/2025/list.txt"]
        assert [each["result"] for each in first] == ["imported", "not a video"]
        assert stored(tmp_path, first[0]["video_id"]) == hashlib.sha256(FILM).hexdigest()
        archive.put("2025/a.mkv", FILM[:-1])
        assert [each["result"] for each in fishladder(tmp_path, *argv)] == ["imported", "not a video"]
        assert [each["result"] for each in fishladder(tmp_path, *argv)] == ["already there", "not a video"]
