"""``encode``, ``inspect`` and ``plan``: the pipeline on a file of this machine, without any service."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from infra.cli.console import err, examples, log_for_people, note, print_json, say, settings
from infra.settings import Settings, StoreKind
from storage.catalogue import Catalogue, Video, VideoFilter
from storage.errors import Conflict, FishladderError, InvalidRequest, Rejected, ToolFailed
from storage.ids import VideoId
from storage.lifecycle import VideoState
from storage.media.encryption import Encryption
from storage.media.source import Source
from storage.records import to_record

if TYPE_CHECKING:
    from workers.parts import RunnerParts

SourceFile = Annotated[Path, typer.Argument(help="Video file.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

WORK = ".fishladder-work"


def register(app: typer.Typer) -> None:
    app.command(epilog=examples("fishladder encode film.mp4 site/film", "python3 -m http.server -d site/film"))(encode)
    app.command(epilog=examples("fishladder inspect film.mkv", "fishladder inspect --json film.mkv"))(inspect)
    app.command(epilog=examples("fishladder plan film.mkv", "fishladder plan --json film.mkv"))(plan)


def encode(
    file: SourceFile,
    outdir: Annotated[Path, typer.Argument(help="Folder to fill; made if need be.", show_default=False)],
) -> None:
    """Make a folder with HLS and DASH that any web server can serve. Interrupted, it goes on when repeated."""
    from infra.composition import migrate, runner_parts, slots
    from workers.inline import encode_inline, export_presentation

    _must_be_file(file)
    log_for_people()
    work = outdir / WORK
    _claim(outdir, work)
    ours = _inside(settings(), work)
    migrate(ours)
    parts = runner_parts(ours)
    try:
        with _progress() as progress:
            task = progress.add_task("Reading", total=1.0, name=file.name)
            video = _known(parts.catalogue, file) or _take_in(parts, file)
            done = encode_inline(
                parts,
                video,
                threads=slots(ours),
                on_progress=lambda seen: progress.update(
                    task, completed=seen.progress, description=seen.state.capitalize()
                ),
            )
        for one in done.notes:
            note(f"Note: {one.sentence}")
        if done.state is VideoState.REJECTED:
            _give_back(outdir, work)
        if done.state is not VideoState.READY:
            raise _why(done)
        export_presentation(parts.catalogue, parts.blobs, video, outdir)
    finally:
        parts.catalogue.close()
    shutil.rmtree(work)
    say(f"HLS:   {outdir / 'master.m3u8'}\nDASH:  {outdir / 'manifest.mpd'}")


def inspect(file: SourceFile, as_json: Json = False) -> None:
    """Tell what a file is: its tracks, and what is unusual about them."""
    from workers.planning.report import describe_source

    source = _inspected(file)
    if as_json:
        print_json(to_record(source))
    else:
        typer.echo(describe_source(source))


def plan(file: SourceFile, as_json: Json = False) -> None:
    """Tell what would be made of a file: its ladder, and the chunks it would be worked on in."""
    from infra.composition import slots, worker_settings
    from workers.planning.encode_plan import plan_encode, plan_notes
    from workers.planning.policy import DEFAULT_POLICY
    from workers.planning.report import Workplace, describe_plan

    source = _inspected(file)
    made = plan_encode(source, DEFAULT_POLICY)
    if as_json:
        print_json(to_record(made))
    else:
        ours = settings()
        here = Workplace(slots=slots(ours), cores=worker_settings(ours).threads)
        typer.echo(describe_plan(made, (*source.notes, *plan_notes(source, made)), here))


def _inspected(file: Path) -> Source:
    from workers.ffmpeg.process import find_tools
    from workers.steps.inspect import inspect_file

    _must_be_file(file)
    log_for_people()
    tools = find_tools(settings().ffmpeg)
    with tempfile.TemporaryDirectory(prefix="fishladder-") as scratch:
        return inspect_file(file.absolute(), tools=tools, scratch=Path(scratch))


def _must_be_file(file: Path) -> None:
    if not file.is_file():
        raise InvalidRequest(f"There is no file {file}.")


def _claim(outdir: Path, work: Path) -> None:
    """Take ``outdir`` if it is new, empty, or ours from an earlier try: nothing of others is ever written over."""
    if outdir.exists() and not work.exists() and any(outdir.iterdir()):
        raise Conflict(f"The folder {outdir} is not empty. Name another, or empty it first.")
    work.mkdir(parents=True, exist_ok=True)


def _give_back(outdir: Path, work: Path) -> None:
    """There is nothing to go on with: leave no trace."""
    shutil.rmtree(work)
    if not any(outdir.iterdir()):
        outdir.rmdir()


def _inside(ours: Settings, work: Path) -> Settings:
    """Settings of a pipeline that keeps everything below ``work``, on the disk of its result."""
    folder = work.absolute()
    return dataclasses.replace(
        ours,
        database_url=f"sqlite:///{folder / 'catalogue.sqlite3'}",
        broker_url="",
        store=StoreKind.LOCAL,
        encryption=Encryption.NONE,  # a folder has nobody who hands out keys
        local_store_dir=folder / "objects",
        scratch_dir=ours.scratch_dir or folder / "scratch",
        worker_port=None,
        ready_file=None,
    )


def _known(catalogue: Catalogue, file: Path) -> VideoId | None:
    """The video of an interrupted try with this very file, if it can still go on."""
    videos, _ = catalogue.videos(VideoFilter())
    for video in videos:
        same = video.filename == file.name and video.source_bytes == file.stat().st_size
        if same and video.state in (VideoState.INSPECTING, VideoState.ENCODING, VideoState.PLAYABLE):
            return video.id
    return None


def _take_in(parts: RunnerParts, file: Path) -> VideoId:
    from workers.inline import ingest

    return ingest(parts.catalogue, parts.blobs, file)


def _why(video: Video) -> FishladderError:
    sentence = video.reason or f"The video is {video.state}."
    return Rejected(sentence) if video.state is VideoState.REJECTED else ToolFailed(sentence)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        TextColumn("{task.fields[name]}", style="bold", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=err,
    )
