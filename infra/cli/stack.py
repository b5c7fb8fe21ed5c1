"""``up`` and ``open``: the embedded stack."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.console import examples, log_for_people, note, out, say, settings
from infra.settings import StoreKind
from infra.stack.plan import Asked


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples("fishladder up", "fishladder up --state ~/videos --workers 3", "fishladder up --host 0.0.0.0")
    )(up)
    app.command("open", epilog=examples("fishladder open"))(open_browser)


def up(
    state: Annotated[Path | None, typer.Option(help="Folder that keeps everything (default: .fladder).")] = None,
    store: Annotated[StoreKind | None, typer.Option(help="Keep objects in S3 (SeaweedFS) or in a folder.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Jobs at once, besides one slot for playable jobs.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to bind to; anything but loopback opens it.")] = None,
    upload: Annotated[list[Path] | None, typer.Option(help="Upload this file once everything runs.")] = None,
) -> None:
    """Start everything on this machine: broker, store, database, upload API, origin and workers."""
    from infra.stack.up import up as run

    log_for_people()
    run(os.environ, Asked(state=state, store=store, workers=workers, host=host), out, upload=tuple(upload or ()))


def open_browser() -> None:
    """Open the web app in the browser."""
    url = settings().public_url
    say(url)
    if not webbrowser.open(url):
        note("No browser could be started here; open that address yourself.")
