"""What must hold before anything is started. Each problem is a sentence that says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

from infra.setting_texts import variable
from infra.settings import Settings
from infra.stack.ports import is_free
from infra.stack.state import StateDir
from storage.errors import FishladderError, Unavailable
from workers.ffmpeg.process import find_tools
from workers.ffmpeg.tools import Tools

MIN_FREE_BYTES = 1024**3


def check(settings: Settings, state: StateDir) -> tuple[str, ...]:
    """What is not as one would expect, and yet no hindrance, as sentences. Raises `Unavailable` with all hindrances at
    once: nobody likes to learn of them one by one."""
    problems = [*port_problems(settings), *disk_problems(state.root)]
    notes: tuple[str, ...] = ()
    try:
        notes = sandbox_notes(find_tools(settings.ffmpeg))
    except FishladderError as error:
        problems.append(error.sentence)
    if problems:
        raise Unavailable("\n".join(problems))
    return notes


def port_problems(settings: Settings) -> list[str]:
    problems = []
    for name in ("upload_api_port", "origin_port"):
        port = getattr(settings, name)
        try:
            free = is_free(settings.host, port)
        except OSError as error:
            return [
                (
                    f"{settings.host} is not an address of this machine ({error.strerror}). Choose another with --host, "
                    "127.0.0.1 for this machine alone or 0.0.0.0 for all its networks."
                )
            ]
        if not free:
            problems.append(
                f"Port {port} on {settings.host} is taken by another program. Stop that program, or choose another port: "
                f"{variable(name)}={port + 1000} fishladder up"
            )
    if settings.upload_api_port == settings.origin_port:
        problems.append(f"{variable('upload_api_port')} and {variable('origin_port')} must differ.")
    return problems


def disk_problems(root: Path) -> list[str]:
    free = shutil.disk_usage(root).free
    if free >= MIN_FREE_BYTES:
        return []
    return [
        (
            f"Only {free // 1024**2} MiB are free where the state folder {root} lies; at least {MIN_FREE_BYTES // 1024**2} MiB "
            "are needed. Make room, or choose a folder on another disk with --state DIR."
        )
    ]


def sandbox_notes(tools: Tools) -> tuple[str, ...]:
    if tools.bwrap is not None:
        return ()
    return ("No sandbox works here: tools that read uploads run with resource limits and format whitelists alone.",)
