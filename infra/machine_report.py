"""What this machine can do for workers, tried just now: for ``fishladder settings``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from infra.composition import tools_of
from infra.settings import Settings, Switch
from storage.errors import FishladderError
from workers.ffmpeg.hardware import Failure
from workers.ffmpeg.tools import Tools


def machine_rows(settings: Settings) -> Iterator[tuple[str, str]]:
    """(what, how it is): ffmpeg, the cage that tools run in, and each kind of graphics hardware by trial."""
    try:
        tools = tools_of(dataclasses.replace(settings, gpu_worker=Switch.ON))
    except FishladderError as error:
        yield "ffmpeg", error.sentence
        return
    yield "ffmpeg", f"{tools.ffmpeg_version}, {tools.ffmpeg}"
    yield "sandbox", _sandbox(tools)
    for trial in tools.hardware.trials if tools.hardware else ():
        encodes, decodes = _told(trial.encode, trial.encode_said), _told(trial.decode, trial.decode_said)
        yield f"{trial.family}", f"encoding {encodes}; decoding {decodes}"


def _sandbox(tools: Tools) -> str:
    if tools.bwrap is not None:
        return f"bubblewrap, {tools.bwrap}: no network, no other files, no other processes; limits on time, memory and output"
    dies = "; tools end with their worker (setpriv)" if tools.setpriv else ""
    return (
        "bubblewrap is not here or not allowed by the kernel: limits on time, memory and output, a clean environment, and"
        f" lists of what ffmpeg may open{dies}"
    )


def _told(failure: Failure | None, said: str) -> str:
    return "works" if failure is None else f"does not work ({failure}: {said})"
