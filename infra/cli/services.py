"""``serve``, ``work``, ``migrate`` and ``settings``: single services for a fleet, and what is set."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Annotated

import typer

from infra.cli.console import configured, examples, log_for_people, out, print_json, say, settings, table
from infra.settings import Settings, Switch, show, to_env
from storage.errors import InvalidRequest
from storage.jobs import Lane


def register(app: typer.Typer) -> None:
    serve = typer.Typer(help="Run one service in the foreground.", no_args_is_help=True)
    serve.command("upload-api", epilog=examples("FISHLADDER_HOST=0.0.0.0 fishladder serve upload-api"))(upload_api)
    serve.command("origin", epilog=examples("FISHLADDER_ORIGIN_WORKERS=4 fishladder serve origin"))(origin)
    app.add_typer(serve, name="serve", epilog=examples("fishladder serve upload-api", "fishladder serve origin"))
    app.command(epilog=examples("fishladder work", "fishladder work --lanes playable,interactive --slots 2"))(work)
    app.command(epilog=examples("FISHLADDER_DATABASE_URL=postgresql+psycopg://ladder@db/ladder fishladder migrate"))(
        migrate
    )
    app.command("settings", epilog=examples("fishladder settings", "fishladder settings --json"))(list_settings)


def upload_api() -> None:
    """Serve the upload API and the web app."""
    from infra.serve_upload_api import serve

    serve(settings())


def origin() -> None:
    """Serve published videos to players and CDN edges."""
    from infra.serve_origin import serve

    serve(settings())


def work(
    lanes: Annotated[str | None, typer.Option(help="Lanes to serve, separated by commas (default: all).")] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="Jobs at once (default: half of the CPUs).")] = None,
    name: Annotated[str, typer.Option(help="Name of this worker, unique on its machine.")] = "worker",
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Take the jobs for graphics hardware, if this machine's works.")
    ] = False,
) -> None:
    """Work on jobs: a Celery worker on the queues of its lanes. TERM or Ctrl-C drains it.

    Without a broker it looks into the database itself, about once a second.
    """
    from infra.composition import slots as slots_of

    ours = settings()
    if lanes is not None:
        ours = dataclasses.replace(ours, lanes=_lanes(lanes))
    if slots is not None:
        ours = dataclasses.replace(ours, workers=slots)
    if gpu:
        ours = dataclasses.replace(ours, gpu_worker=Switch.ON)
    if not ours.broker_url:
        from infra.poll import work_without_broker

        work_without_broker(ours)
        return
    argv = [sys.executable, "-m", "celery", "-A", "infra.celery_app", "worker"]
    argv += ["-Q", ",".join(_queues(ours)), "-c", str(slots_of(ours)), "-n", f"{name}@%h"]
    argv += ["--without-gossip", "--without-mingle", "-l", ours.log_level]
    sys.stdout.flush()
    os.execve(sys.executable, argv, {**os.environ, **to_env(ours)})  # noqa: S606 - our own process becomes Celery's


def migrate() -> None:
    """Bring the database's schema to this version's, and make the bucket unless it is there."""
    from infra.composition import ensure_store
    from infra.composition import migrate as to_head

    to_head(settings())
    ensure_store(settings())
    say("The database is up to date, and the object store is there.")


def list_settings(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List every setting, its value, and where that came from. Secrets are masked."""
    shown = show(configured())
    if as_json:
        return print_json([dataclasses.asdict(one) for one in shown])
    _say_machine(configured().settings)
    rows = table("Variable", "Value", "From", "Meaning", ids=("Variable",))
    for one in shown:
        rows.add_row(one.variable, one.value, one.origin, one.doc)
    out.print(rows)
    return None


def _say_machine(ours: Settings) -> None:
    """What this machine can do, as it was seen just now."""
    from infra.machine_report import machine_rows

    log_for_people()
    shown = table("This machine", "", ids=("This machine",))
    for name, value in machine_rows(ours):
        shown.add_row(name, value)
    out.print(shown)


def _queues(ours: Settings) -> list[str]:
    """The lanes; where there is graphics hardware in the fleet and here, the queues that wake for it first."""
    from workers.celery import GPU_PREFIX

    plain = [str(lane) for lane in ours.lanes]
    woken = [GPU_PREFIX + lane for lane in plain] if ours.gpu is not None and ours.gpu_worker is Switch.ON else []
    return woken + plain


def _lanes(text: str) -> tuple[Lane, ...]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tuple(Lane(name) for name in names)
    except ValueError as error:
        raise InvalidRequest(f"{text!r} names a lane that does not exist; the lanes are {', '.join(Lane)}.") from error
