"""What `fishladder settings` says of the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra import machine_report
from infra.settings import Settings
from storage.errors import Unavailable
from storage.media.encoders import Family
from workers.ffmpeg.hardware import Failure, Hardware, Trial
from workers.ffmpeg.tools import Tools

TRIALS = (
    Trial(family=Family.NVENC, encode=None, decode=Failure.OUT_OF_MEMORY, decode_said="out of memory"),
    Trial(
        family=Family.VAAPI,
        encode=Failure.NO_DEVICE,
        encode_said="No VA display",
        decode=Failure.NO_DEVICE,
        decode_said="No VA display",
    ),
)
TOOLS = Tools(
    ffmpeg=Path("/opt/ffmpeg"), ffmpeg_version="n9", bwrap=Path("/opt/bwrap"), hardware=Hardware(trials=TRIALS)
)


def told(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> dict[str, str]:
    monkeypatch.setattr(machine_report, "tools_of", lambda settings: tools)
    return dict(machine_report.machine_rows(Settings.from_env({})))


def test_hardware_is_told_by_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = told(monkeypatch, TOOLS)
    assert rows["ffmpeg"] == "n9, /opt/ffmpeg"
    assert rows["nvenc"] == "encoding works; decoding does not work (out_of_memory: out of memory)"
    assert rows["vaapi"] == (
        "encoding does not work (no_device: No VA display); decoding does not work (no_device: No VA display)"
    )


def test_the_cage_is_named_or_what_stands_in_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, TOOLS)["sandbox"].startswith("bubblewrap, /opt/bwrap")
    bare = told(monkeypatch, replace(TOOLS, bwrap=None, setpriv=Path("/usr/bin/setpriv")))["sandbox"]
    assert "not here or not allowed" in bare
    assert "limits on time, memory and output" in bare
    assert "setpriv" in bare


def test_a_machine_without_ffmpeg_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(settings: Settings) -> Tools:
        raise Unavailable("ffmpeg is missing: not on the PATH.")

    monkeypatch.setattr(machine_report, "tools_of", missing)
    assert dict(machine_report.machine_rows(Settings.from_env({}))) == {"ffmpeg": "ffmpeg is missing: not on the PATH."}
