"""``upload``: a file goes up over tus, is followed until it is ready, and its addresses are printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn

from infra.cli.api import Api, Key
from infra.cli.console import DONE, FAILED, REFUSED, Speed, err, examples, note, print_json, say, settings, tell
from infra.cli.sending import local_file, send
from storage.errors import FishladderError, InvalidRequest
from storage.lifecycle import SETTLED, VideoState
from storage.media.encryption import Encryption

_POLL_S = 0.5


class Priority(StrEnum):
    """The lanes that an upload may ask for."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BULK = "bulk"


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "fishladder upload film.mp4",
            'fishladder upload --title "The film" --priority interactive film.mp4',
            "fishladder upload --json *.mov",
        )
    )(upload)


def upload(
    files: Annotated[list[Path], typer.Argument(help="Video files.", show_default=False)],
    title: Annotated[str | None, typer.Option(help="Title of the video (default: the file's name).")] = None,
    priority: Annotated[Priority, typer.Option(help="Which lane it is worked on in.")] = Priority.STANDARD,
    encryption: Annotated[
        Encryption | None, typer.Option(help="How it is encrypted (default: FISHLADDER_ENCRYPTION of the server).")
    ] = None,
    server: Annotated[str | None, typer.Option(help="Upload API to send to (default: FISHLADDER_PUBLIC_URL).")] = None,
    key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the videos as JSON at the end.")] = False,
) -> None:
    """Upload videos, follow their processing, and print where to watch them. Interrupted, it resumes when repeated."""
    for file in files:
        if not file.is_file():
            raise InvalidRequest(f"There is no file {file}.")
    videos: list[dict[str, Any]] = []
    worst = DONE
    with Api(server or settings().public_url, key=key) as api:
        for file in files:
            try:
                metadata = {"title": title or file.stem, "priority": str(priority)}
                if encryption is not None:
                    metadata["encryption"] = str(encryption)
                video = _upload_and_follow(api, file, metadata, note if as_json else say)
            except FishladderError as error:
                if len(files) == 1:
                    raise
                note(f"{file}:", style="red")
                tell(error)
                worst = FAILED
                continue
            videos.append(video)
            worst = max(worst, _verdict(video))
    if as_json:
        print_json(videos)
    raise typer.Exit(worst)


def _verdict(video: dict[str, Any]) -> int:
    match VideoState(video["state"]):
        case VideoState.READY:
            return DONE
        case VideoState.FAILED:
            return FAILED
        case _:
            return REFUSED


def _upload_and_follow(
    api: Api, file: Path, metadata: dict[str, str], tell_addresses: Callable[[str], None]
) -> dict[str, Any]:
    with _progress() as progress:
        task = progress.add_task("Uploading", total=file.stat().st_size, name=file.name)
        url = send(api, local_file(file), metadata, lambda sent: progress.update(task, completed=sent))
    video_id = api.get(f"/api/v1/uploads/{url.rstrip('/').rpartition('/')[2]}")["video_id"]
    return follow(api, video_id, tell_addresses)


def follow(api: Api, video_id: str, tell_addresses: Callable[[str], None] = say) -> dict[str, Any]:
    """Wait until nothing more happens to a video by itself, showing how far it is; the video at the end. Its addresses
    are printed as soon as they play."""
    video = _until(api, video_id, SETTLED | {VideoState.PLAYABLE})
    if video["state"] in (VideoState.PLAYABLE, VideoState.READY):
        tell_addresses(addresses(video))
    video = _until(api, video_id, SETTLED)
    for one in video["notes"]:
        note(f"Note: {one['sentence']}")
    if video["state"] != VideoState.READY:
        note(f"{video['title']} is {video['state']}: {video['reason']}", style="red")
    return video


def _until(api: Api, video_id: str, states: frozenset[VideoState]) -> dict[str, Any]:
    with _progress(of_bytes=False) as progress:
        task = progress.add_task("Processing", total=1.0, name=video_id)
        while True:
            video: dict[str, Any] = api.get(f"/api/v1/videos/{video_id}")
            progress.update(
                task, completed=video["progress"], description=video["state"].capitalize(), name=video["title"]
            )
            if video["state"] in states:
                return video
            time.sleep(_POLL_S)


def addresses(video: dict[str, Any]) -> str:
    named = (("Watch", "watch_url"), ("HLS", "hls_url"), ("DASH", "dash_url"))
    return "\n".join(f"{name + ':':7}{video[key]}" for name, key in named if video.get(key))


def _progress(*, of_bytes: bool = True) -> Progress:
    columns = (DownloadColumn(), Speed()) if of_bytes else (TaskProgressColumn(),)
    return Progress(
        TextColumn("{task.description}"),
        TextColumn("{task.fields[name]}", style="bold", markup=False),
        BarColumn(),
        *columns,
        console=err,
    )
