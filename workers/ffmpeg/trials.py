"""Trying the graphics hardware of this machine, once, when a worker that is to use it starts."""

from __future__ import annotations

import re
from pathlib import Path

import structlog

from storage.errors import FishladderError, ToolFailed
from storage.media.encoders import Family
from workers.ffmpeg.hardware import (
    TRIAL_SIZE,
    Failure,
    Hardware,
    Trial,
    trial_decode_command,
    trial_encode_command,
    why,
)
from workers.ffmpeg.inputs import GLOBAL
from workers.ffmpeg.process import run_tool
from workers.ffmpeg.tools import Limits, Tools

log = structlog.get_logger(__name__)

LIMITS = Limits(wall_s=30, memory_bytes=None, hardware=True)
SAID_CHARACTERS = 300


def try_hardware(tools: Tools, scratch: Path) -> Hardware:
    """What each family does here: it encodes a few frames, and decodes some that the CPU encoded."""
    clip = scratch / "clip.mp4"
    plain = ["-f", "lavfi", "-i", f"testsrc2=size={TRIAL_SIZE}:rate=25", "-frames:v", "5", "-c:v", "libx264"]
    run_tool([str(tools.ffmpeg), *GLOBAL, *plain, "-pix_fmt", "yuv420p", f"file:{clip}"], tools=tools, scratch=scratch)
    trials = tuple(_tried(family, clip, tools, scratch) for family in Family)
    for trial in trials:
        log.info(
            "hardware_tried",
            family=str(trial.family),
            encode=str(trial.encode or "works"),
            decode=str(trial.decode or "works"),
        )
    return Hardware(trials=trials)


def _tried(family: Family, clip: Path, tools: Tools, scratch: Path) -> Trial:
    made = scratch / f"{family}.mp4"
    program = str(tools.ffmpeg)
    encode, encode_said = _outcome(trial_encode_command(family, output_path=made, program=program), tools, scratch)
    if encode is None and not (made.exists() and made.stat().st_size):
        encode, encode_said = Failure.UNKNOWN, "it ended well and wrote nothing"
    decode, decode_said = _outcome(trial_decode_command(family, input_path=clip, program=program), tools, scratch)
    return Trial(family=family, encode=encode, encode_said=encode_said, decode=decode, decode_said=decode_said)


def _outcome(argv: list[str], tools: Tools, scratch: Path) -> tuple[Failure | None, str]:
    try:
        run_tool(argv, tools=tools, scratch=scratch, limits=LIMITS)
    except ToolFailed as error:
        return why(error.stderr_tail), _first_line(error.stderr_tail) or error.sentence
    except FishladderError as error:
        return Failure.UNKNOWN, error.sentence
    return None, ""


def _first_line(said: str) -> str:
    """Drivers complain at length; what is first is why."""
    line = next((line.strip() for line in said.splitlines() if line.strip()), "")
    line = re.sub(r"^(\[[^\]]*\] *)+", "", line)  # which object of ffmpeg says so
    return "".join(char for char in line if char.isprintable())[:SAID_CHARACTERS]
