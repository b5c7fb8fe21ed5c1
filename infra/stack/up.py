"""`fishladder up`: the embedded stack from pre-flight to the last process gone."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infra.composition import migrate
from infra.machine import cpu_count, memory_bytes, own_address
from infra.setting_texts import variable
from infra.settings import Configured, StoreKind, to_env
from infra.stack import parts, preflight
from infra.stack.children import Command, Nursery
from infra.stack.embedded import with_embedded
from infra.stack.parts import Part
from infra.stack.plan import Asked, StackPlan, plan_stack
from infra.stack.state import StateDir, locked, recall, remember
from infra.stack.supervisor import Signals, Stopped, Supervisor
from storage.jobs import LANES_BY_URGENCY, Lane


def up(env: Mapping[str, str], asked: Asked, console: Console, *, upload: tuple[Path, ...] = ()) -> None:
    """Run the stack until asked to stop. ``upload``: files that are uploaded once everything is ready.

    Raises `Unavailable` and `Conflict` with a sentence where it cannot start.
    """
    if asked.state is not None:
        env = {**env, variable("state_dir"): str(asked.state)}
    configured = Configured.from_env(env)
    state = StateDir(root=configured.settings.state_dir.absolute())
    state.prepare()
    signals = Signals()
    with locked(state), signals.caught():
        nursery = Nursery(state)
        for name, pid in nursery.open().items():
            console.print(f"Ended {name} (process {pid}), left behind by an earlier run.")
        try:
            _run(configured, asked, state, nursery, signals, console, upload)
        except Stopped:
            console.print("Stopped before everything had started.")
        finally:
            nursery.close()


def _run(
    configured: Configured,
    asked: Asked,
    state: StateDir,
    nursery: Nursery,
    signals: Signals,
    console: Console,
    upload: tuple[Path, ...],
) -> None:
    known = recall(state)
    weed = parts.weed_binary()
    plan = plan_stack(
        configured,
        asked,
        remembered_store=known.store if known else None,
        weed=weed is not None,
        cpus=cpu_count(),
        memory_bytes=memory_bytes(),
        address=own_address(),
    )
    notes = (*plan.notes, *preflight.check(plan.settings, state))
    names = parts.WORKER_PORTS + parts.VALKEY_PORTS * plan.valkey + parts.SEAWEEDFS_PORTS * plan.seaweedfs
    remembered = remember(state, names, plan.settings.store)
    embedded = with_embedded(plan.settings, state, remembered, valkey=plan.valkey, seaweedfs=plan.seaweedfs)
    plan = dataclasses.replace(plan, settings=embedded)

    stores: list[Part] = []
    if plan.valkey:
        stores.append(parts.valkey(state, remembered))
    if plan.seaweedfs and weed is not None:
        stores.append(parts.seaweedfs(state, remembered, plan.settings.s3_bucket, weed))
    services = [
        parts.upload_api(plan.settings, state),
        parts.origin(plan.settings, state),
        *(
            parts.workers(plan.settings, state, name, lanes, slots, remembered.ports[name])
            for name, lanes, slots in (
                ("workers", LANES_BY_URGENCY, plan.slots),
                ("workers-playable", (Lane.PLAYABLE,), 1),  # so that no long chunk keeps a new video waiting
            )
        ),
    ]
    supervisor = Supervisor(nursery, signals, lambda line: console.print(line, style="yellow", soft_wrap=True))
    try:
        with console.status("Starting …") as status:

            def waiting(titles: tuple[str, ...]) -> None:
                status.update(f"Starting {', '.join(titles)} …")

            supervisor.start(tuple(stores), waiting)
            status.update("Bringing the database up to date …")
            migrate(plan.settings)
            supervisor.start(tuple(services), waiting)
        console.print(_table(plan, state, (*services, *stores)))
        for note in notes:
            console.print(note, style="yellow", soft_wrap=True)
        console.print(f"Open [bold]{plan.settings.public_url}[/] and drop a video there. Ctrl-C stops everything.")
        uploading = nursery.start("upload", _upload_command(plan, upload)) if upload else None
        supervisor.watch()
        if uploading is not None:
            uploading.kill()  # what it has sent is kept, and the same command resumes it
            nursery.forget(uploading)
        console.print(
            "Stopping: workers hand back their jobs, uploads keep their bytes. Ctrl-C again kills at once.",
            soft_wrap=True,
        )
    finally:
        supervisor.stop()
    console.print("Everything has stopped. The same command goes on where this left off.")


def _upload_command(plan: StackPlan, files: tuple[Path, ...]) -> Command:
    url = f"http://{parts.reachable(plan.settings.host)}:{plan.settings.upload_api_port}"
    return Command(
        argv=(sys.executable, "-m", "infra", "upload", "--server", url, *(str(file) for file in files)),
        env=dict(to_env(plan.settings)),
        log=None,
    )


def _table(plan: StackPlan, state: StateDir, running: tuple[Part, ...]) -> Table:
    settings = plan.settings
    table = Table(title="Fishladder is up", title_justify="left", header_style="bold", title_style="bold green")
    table.add_column("What runs")
    table.add_column("Where", overflow="fold")
    table.add_column("Log", overflow="fold", style="dim")
    for part in running:
        table.add_row(part.title, part.shown, _short(part.command.log))
    if not plan.valkey:
        table.add_row("Broker", "as set by " + variable("broker_url"), "")
    if settings.store is StoreKind.LOCAL:
        table.add_row("Objects", _short(settings.local_store_dir), "")
    elif not plan.seaweedfs:
        table.add_row("S3 store", settings.s3_endpoint or "", "")
    scheme, _, rest = settings.database_url.partition("://")
    table.add_row("Database", f"SQLite, {_short(Path(rest[1:]))}" if scheme == "sqlite" else scheme.split("+")[0], "")
    table.add_section()
    table.add_row("State folder", _short(state.root), "")
    return table


def _short(path: Path | None) -> str:
    """``path`` as one would type it from here."""
    if path is None:
        return ""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
