"""``jobs …``: the work as the catalogue has it. For operators: reads the database itself, not the upload API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.console import examples, out, print_json, say, table
from infra.settings import Settings
from storage.catalogue import Catalogue
from storage.ids import JobId, VideoId
from storage.jobs import JobState
from storage.records import to_record

State = Annotated[Path | None, typer.Option("--state-dir", help="State folder of the stack to look into.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The work behind the videos.", no_args_is_help=True)
    group.command("list", epilog=examples("fishladder jobs list", "fishladder jobs list --state dead --json"))(listing)
    group.command("show", epilog=examples("fishladder jobs show 3f8k2m9q1r5t7v0x"))(show)
    group.command("retry", epilog=examples("fishladder jobs retry 3f8k2m9q1r5t7v0x"))(retry)
    group.command("discard", epilog=examples("fishladder jobs discard 3f8k2m9q1r5t7v0x"))(discard)
    app.add_typer(group, name="jobs", epilog=examples("fishladder jobs list", "fishladder jobs show ID"))


def listing(
    video: Annotated[str | None, typer.Option(help="Only jobs of this video.")] = None,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    state_dir: State = None,
    as_json: Json = False,
) -> None:
    """List jobs."""
    with opened(state_dir) as catalogue:
        jobs = catalogue.jobs(video=VideoId(video) if video else None, state=state, limit=limit)
        now_ms = catalogue.now_ms()
    if as_json:
        return print_json([to_record(job) for job in jobs])
    shown = table("Id", "Video", "Kind", "Lane", "State", "Errors", "Age", ids=("Id", "Video"))
    for job in jobs:
        age = f"{max(0, round((now_ms - job.created_at_ms) / 1000))} s"
        shown.add_row(job.id, job.video, job.kind, job.lane, job.state, str(job.attempts), age)
    if jobs:
        out.print(shown)
    else:
        say("There are no such jobs.")
    return None


def show(
    job: Annotated[str, typer.Argument(help="Id of the job.")], state_dir: State = None, as_json: Json = False
) -> None:
    """Show a job: what it is to do, who has it, and why it failed."""
    with opened(state_dir) as catalogue:
        record: dict[str, Any] = to_record(catalogue.job(JobId(job)))
    if as_json:
        return print_json(record)
    for key, value in record.items():
        say(f"{key:16} {value}")
    return None


def retry(job: Annotated[str, typer.Argument(help="Id of a dead job.")], state_dir: State = None) -> None:
    """Try a dead job again, with fresh budgets. Where its death failed its video, that starts again from its source."""
    from infra.composition import open_bell
    from storage.media.ladder import RECIPE

    with opened(state_dir) as catalogue:
        ready = catalogue.retry_job(JobId(job), recipe=RECIPE)
        open_bell(of_state(state_dir)).ring(ready.lane)
    say(f"Job {ready.id} ({ready.kind}) of video {ready.video} is ready.")


def discard(job: Annotated[str, typer.Argument(help="Id of a dead job.")], state_dir: State = None) -> None:
    """Put a dead job away: nobody will try it again. Its video stays as it is."""
    with opened(state_dir) as catalogue:
        catalogue.discard_job(JobId(job))
    say(f"Job {job} is discarded.")


@contextmanager
def opened(state_dir: Path | None) -> Iterator[Catalogue]:
    from infra.composition import open_catalogue

    catalogue = open_catalogue(of_state(state_dir))
    try:
        catalogue.check()
        yield catalogue
    finally:
        catalogue.close()


def of_state(state_dir: Path | None) -> Settings:
    """Settings of the system to look into: of the stack in ``state_dir``, `infra.stack.embedded.settings_of`."""
    from infra.stack.embedded import settings_of

    return settings_of(os.environ, state_dir)
