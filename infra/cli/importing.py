"""``import``: many videos at once, from folders, from prefixes of S3 buckets, or from addresses. What came before is not
sent again."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from infra.cli.api import Api, Key
from infra.cli.console import DONE, FAILED, REFUSED, Speed, err, examples, exit_code, note, print_json, say, settings
from infra.cli.sending import Sendable, UrlFiles, local_file, send
from infra.cli.uploads import Priority
from storage.blobs.s3 import S3Settings
from storage.blobs.s3_bucket import ForeignBucket, ForeignObject
from storage.errors import FishladderError, InvalidRequest, NotFound
from storage.lifecycle import VideoState
from storage.media.sniffing import HEAD_BYTES, sniff

_POLL_S = 0.5


def register(app: typer.Typer) -> None:
    app.command(
        name="import",
        epilog=examples(
            "fishladder import ~/Videos",
            "fishladder import s3://archive/2025/ --priority bulk",
            "fishladder import https://example.org/film.mp4",
        ),
    )(import_videos)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of each source, in their order."""

    results: list[dict[str, Any]] = field(default_factory=list)
    worst: int = DONE

    def add(self, source: str, result: str, *, video: str | None = None, why: str | None = None) -> None:
        self.results.append({"source": source, "result": result, "video_id": video, "reason": why})

    def failed(self, source: str, error: FishladderError) -> None:
        self.worst = max(self.worst, exit_code(error))
        self.add(source, "failed", why=error.sentence)
        note(f"{source}: {error.sentence}", style="red")

    def count(self, result: str) -> int:
        return sum(each["result"] == result for each in self.results)


def import_videos(
    sources: Annotated[
        list[str], typer.Argument(help="Folders, files, s3://bucket/prefix, or http(s) addresses.", show_default=False)
    ],
    priority: Annotated[Priority, typer.Option(help="Which lane they are worked on in.")] = Priority.BULK,
    again: Annotated[bool, typer.Option("--again", help="Also what was imported before.")] = False,
    endpoint: Annotated[str | None, typer.Option(help="S3 service (default: FISHLADDER_S3_ENDPOINT, or AWS).")] = None,
    server: Annotated[str | None, typer.Option(help="Upload API to send to (default: FISHLADDER_PUBLIC_URL).")] = None,
    key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what became of each source as JSON.")] = False,
) -> None:
    """Import videos from folders, S3 buckets or the web. Repeated, it goes on where it stopped and skips what is there."""
    tally = Tally()
    with Api(server or settings().public_url, key=key) as api, _progress() as progress:
        memory = Memory(api, again=again)
        for source in sources:
            try:
                _import_source(api, memory, tally, progress, source, endpoint, priority)
            except FishladderError as error:
                tally.failed(source, error)
    if as_json:
        print_json(tally.results)
    else:
        known = ("imported", "already there", "not a video", "failed")
        say(
            ", ".join(f"{tally.count(result)} {result}" for result in known if tally.count(result))
            or "nothing to import"
        )
    raise typer.Exit(tally.worst)


class Memory:
    """Which sources became which videos at this server: one small file each, in the folder for what should not be lost."""

    def __init__(self, api: Api, *, again: bool) -> None:
        self._api = api
        self._again = again
        self._files = UrlFiles(_state_dir(), api.server)

    def video(self, key: str) -> str | None:
        """The video that came of ``key``, unless it is gone."""
        video = None if self._again else self._files.get(key)
        if video is None:
            return None
        try:
            there = self._api.get(f"/api/v1/videos/{video}")["state"] != VideoState.DELETED
        except NotFound:
            there = False
        return video if there else None

    def remember(self, key: str, video: str) -> None:
        self._files.put(key, video)


def _import_source(
    api: Api, memory: Memory, tally: Tally, progress: Progress, source: str, endpoint: str | None, priority: Priority
) -> None:
    if source.startswith(("http://", "https://")):
        _import_address(api, memory, tally, progress, source, priority)
        return
    found = list(_in_bucket(source, endpoint) if source.startswith("s3://") else _in_folder(Path(source)))
    total = progress.add_task("Importing", total=sum(what.size_bytes for _, what in found), name=source)
    for name, what in found:
        try:
            _import_file(api, memory, tally, progress, total, name, what, priority)
        except FishladderError as error:
            tally.failed(name, error)
        except OSError as error:
            tally.failed(name, InvalidRequest(f"It cannot be read: {error.strerror or error}."))
    progress.remove_task(total)


def _import_file(
    api: Api,
    memory: Memory,
    tally: Tally,
    progress: Progress,
    total: TaskID,
    name: str,
    what: Sendable,
    priority: Priority,
) -> None:
    before = progress.tasks[progress.task_ids.index(total)].completed
    if (video := memory.video(what.key)) is not None:
        tally.add(name, "already there", video=video)
    elif not _is_media(what):
        tally.add(name, "not a video")
    else:
        metadata = {"title": Path(what.name).stem, "priority": str(priority)}
        progress.update(total, description=what.name)
        url = send(api, what, metadata, lambda sent: progress.update(total, completed=before + sent))
        video = str(api.get(f"/api/v1/uploads/{url.rstrip('/').rpartition('/')[2]}")["video_id"])
        memory.remember(what.key, video)
        tally.add(name, "imported", video=video)
    progress.update(total, completed=before + what.size_bytes)


def _is_media(what: Sendable) -> bool:
    with what.open() as stream:
        return sniff(stream.read(HEAD_BYTES)) is not None


def _import_address(api: Api, memory: Memory, tally: Tally, progress: Progress, url: str, priority: Priority) -> None:
    key = hashlib.sha256(url.encode()).hexdigest()
    if (known := memory.video(key)) is not None:
        tally.add(url, "already there", video=known)
        return
    video = api.post("/api/v1/videos", {"source_url": url, "priority": str(priority)})
    memory.remember(key, video["id"])
    task = progress.add_task("Importing", total=None, name=video["title"])
    while video["state"] == VideoState.UPLOADING:
        time.sleep(_POLL_S)
        video = api.get(f"/api/v1/videos/{video['id']}")
        progress.update(task, total=video["source_bytes"], completed=video["received_bytes"])
    progress.remove_task(task)
    if video["state"] in (VideoState.REJECTED, VideoState.DELETED):
        tally.worst = max(tally.worst, REFUSED)
        tally.add(url, "failed", video=video["id"], why=video["reason"])
        note(f"{video['title']}: {video['reason']}", style="red")
    elif video["state"] == VideoState.FAILED:
        tally.worst = FAILED
        tally.add(url, "failed", video=video["id"], why=video["reason"])
    else:
        tally.add(url, "imported", video=video["id"])


# --- what there is ---------------------------------------------------------------------------------------------------


def _in_folder(path: Path) -> Iterator[tuple[str, Sendable]]:
    """Every file below ``path``, in order; hidden ones are somebody else's business."""
    if not path.exists():
        raise InvalidRequest(f"There is no file or folder {path}.")
    for file in _files(path):
        if file.stat().st_size:
            yield str(file), local_file(file)


def _files(path: Path) -> Iterable[Path]:
    if path.is_file():
        return (path,)
    inside = (file for file in path.rglob("*") if not any(p.startswith(".") for p in file.relative_to(path).parts))
    return sorted(file for file in inside if file.is_file())


def _in_bucket(source: str, endpoint: str | None) -> Iterator[tuple[str, Sendable]]:
    name, _, prefix = source.removeprefix("s3://").partition("/")
    if not name:
        raise InvalidRequest("Say which bucket: s3://bucket/prefix.")
    ours = settings()
    own = endpoint is None or endpoint == ours.s3_endpoint  # another service has other keys: those of the environment
    bucket = ForeignBucket(
        S3Settings(
            bucket=name,
            endpoint_url=endpoint or ours.s3_endpoint,
            access_key=ours.s3_access_key if own else None,
            secret_key=ours.s3_secret_key if own else None,
            region=ours.s3_region,
        )
    )
    for what in bucket.list(prefix):
        yield f"s3://{name}/{what.key}", _sendable(bucket, name, what)


def _sendable(bucket: ForeignBucket, name: str, what: ForeignObject) -> Sendable:
    key = hashlib.sha256(f"s3://{name}/{what.key}|{what.size_bytes}|{what.etag}".encode()).hexdigest()
    return Sendable(
        name=what.key.rpartition("/")[2], size_bytes=what.size_bytes, key=key, open=lambda: bucket.open(what)
    )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[name]}", style="bold", markup=False),
        BarColumn(),
        DownloadColumn(),
        Speed(),
        console=err,
    )


def _state_dir() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "fishladder" / "imports"
