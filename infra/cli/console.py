"""How the command line speaks: where lines go, how an error is told, and with which exit code."""

from __future__ import annotations

import json
import os
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from infra.settings import Configured, Settings
from storage.errors import FishladderError, NotFoundOrConflict, Rejected, ToolFailed, Unavailable

DONE, REFUSED, FAILED = 0, 1, 2
INTERRUPTED = 130  # as shells have it: 128 + SIGINT

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def exit_code(error: FishladderError) -> int:
    """The one mapping from errors to exit codes."""
    match error:
        case Rejected() | NotFoundOrConflict():
            return REFUSED
        case Unavailable() | ToolFailed():
            return FAILED
        case _:
            return FAILED


def tell(error: FishladderError) -> None:
    err.print(error.sentence, style="red", markup=False, soft_wrap=True)
    if isinstance(error, ToolFailed) and error.stderr_tail:
        err.print(error.stderr_tail, style="dim", markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """For scripts: no colours, no wrapping."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(*columns: str, ids: tuple[str, ...] = ("Id",)) -> Table:
    """A plain table. What is in ``ids`` is never shortened: people copy it."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, no_wrap=column in ids)
    return made


def configured() -> Configured:
    return Configured.from_env(os.environ)


def settings() -> Settings:
    return configured().settings


def examples(*lines: str) -> str:
    """The end of a verb's help: commands one can paste. ``\\b`` keeps their line breaks."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
