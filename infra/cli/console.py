"""How the command line speaks: where lines go, how an error is told, and with which exit code."""

from __future__ import annotations

import json
import os
from typing import Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import Task, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from infra.settings import Configured, LogLevel, Settings
from infra.telemetry import configure_logging
from storage.errors import FishladderError, NotFoundOrConflict, Rejected, ToolFailed, Unavailable

DONE, REFUSED, FAILED = 0, 1, 2
INTERRUPTED = 130  # as shells have it: 128 + SIGINT

out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)


def say(text: str, *, style: str | None = None) -> None:
    """A result, on standard output. As it is: no markup, which a title could hold, and no line broken."""
    out.print(text, style=style, markup=False, soft_wrap=True)


def note(text: str, *, style: str | None = None) -> None:
    """What a person should know beside the result, on standard error."""
    err.print(text, style=style, markup=False, soft_wrap=True)


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
    note(error.sentence, style="red")
    if isinstance(error, ToolFailed) and error.stderr_tail:
        note(error.stderr_tail, style="dim")


class Speed(TransferSpeedColumn):
    """Bytes a second. A transfer that was over before its speed could be measured has its mean; before there is any,
    nothing is said."""

    def render(self, task: Task) -> Text:
        if task.finished_speed or task.speed:
            return super().render(task)
        took = task.finished_time
        return Text(f"{decimal(int(task.completed / took))}/s" if took else "", style="progress.data.speed")


def print_json(value: Any) -> None:
    """For scripts: no colours, no wrapping."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def log_for_people() -> None:
    """The pipeline in this process is told by a progress bar: its log is quiet unless a level is set."""
    ours = configured()
    level = ours.settings.log_level if "log_level" in ours.given else LogLevel.ERROR
    configure_logging(level, ours.settings.log_format, service="fishladder")


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
