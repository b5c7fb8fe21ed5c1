"""An ffmpeg that pretends to have a graphics card of one family, and fails as its driver does when it is told to.

It is a program of its own in front of the real one: what it is asked to encode on the card it has x264 encode, so that what
comes out is a real film.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from storage.media.encoders import Family, encoder_of
from workers.ffmpeg.hardware import Hardware, Trial
from workers.ffmpeg.tools import Tools

SAYINGS: dict[Family, dict[str, str]] = {
    Family.NVENC: {
        "session_limit": "[h264_nvenc @ 0x55d5] OpenEncodeSessionEx failed: out of memory (10): (no details)\n"
        "[vost#0:0/h264_nvenc @ 0x55d6] Error while opening encoder - maybe incorrect parameters such as bit_rate, rate,"
        " width or height.\n",
        "out_of_memory": "[h264_nvenc @ 0x55d5] cuvidCreateDecoder failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory\n",
        "device_lost": "[h264_nvenc @ 0x55d5] EncodePicture failed!: generic error (20): CUDA_ERROR_LAUNCH_FAILED\n",
        "no_device": "[h264_nvenc @ 0x55d5] Cannot load libcuda.so.1\n",
        "not_supported": "[h264_nvenc @ 0x55d5] B frames as references are not supported\n",
        "unknown": "[h264_nvenc @ 0x55d5] The moon is in the wrong place.\n",
    },
    Family.VAAPI: {
        "out_of_memory": "[h264_vaapi @ 0x55d5] Failed to create parameter buffer (type 22): 2 (resource allocation failed).\n",
        "device_lost": "[h264_vaapi @ 0x55d5] Failed to end picture encode issue: 34 (HW busy now).\n",
        "no_device": "[AVHWDeviceContext @ 0x55d5] Failed to initialise VAAPI connection: -1 (unknown libva error).\n"
        "Device creation failed: -5.\n",
        "not_supported": "[h264_vaapi @ 0x55d5] No usable encoding entrypoint found for profile VAProfileH264High (7).\n",
    },
    Family.QSV: {
        "out_of_memory": "[h264_qsv @ 0x55d5] Error initializing the encoder: failed to allocate memory (-4)\n",
        "device_lost": "[h264_qsv @ 0x55d5] Error during encoding: device lost (-13)\n",
        "no_device": "[AVHWDeviceContext @ 0x55d5] Error creating a MFX session: -9.\nDevice creation failed: -1313558101.\n",
        "not_supported": "[h264_qsv @ 0x55d5] Selected ratecontrol mode is unsupported\n",
    },
}

_PROGRAM = """#!{python}
import os, pathlib, re, sys
argv = sys.argv[1:]
mode = pathlib.Path({mode!r}).read_text().split()
if {encoder!r} in argv:
    failing, _, when = mode[0].partition("@")
    seeks = "-ss" in argv
    if failing != "works" and (when != "later" or seeks):
        sys.stderr.write(pathlib.Path({sayings!r}, failing).read_text())
        sys.exit(218)
    kept, at = [], 0
    ours = {{"-preset": "ultrafast", "-c:v": "libx264"}}
    lost = {{"-tune", "-rc", "-cq", "-b_ref_mode", "-spatial-aq", "-rc-lookahead", "-forced-idr", "-no-scenecut",
            "-strict_gop", "-b:v", "-hwaccel", "-init_hw_device", "-filter_hw_device", "-rc_mode", "-global_quality",
            "-idr_interval", "-forced_idr", "-adaptive_i", "-look_ahead"}}
    while at < len(argv):
        word = argv[at]
        if word in lost:
            at += 2
            continue
        kept.append(re.sub("hwupload[^;\\[]*", "null", word) if at and argv[at - 1] == "-filter_complex" else word)
        if word in ours:
            kept.append(ours[word])
            at += 1
        at += 1
    out = []
    for word in kept:
        out.append(word)
        if word == "libx264":
            out += ["-x264-params", "scenecut=0:open-gop=0:stitchable=1", "-crf", "28", "-threads", "1"]
    argv = out
os.execv({ffmpeg!r}, [{ffmpeg!r}, *argv])
"""


def with_fake_gpu(tools: Tools, folder: Path, mode: str = "works", family: Family = Family.NVENC) -> Tools:
    """``tools`` whose ffmpeg has a card of ``family``. ``mode``: ``works``, one of its `SAYINGS`, or that with ``@later``: it
    works on the first chunk and fails on others. `set_mode` changes it."""
    folder.mkdir(parents=True, exist_ok=True)
    set_mode(folder, mode)
    for name, said in SAYINGS[family].items():
        (folder / name).write_text(said)
    program = folder / "ffmpeg"
    program.write_text(
        _PROGRAM.format(
            python=sys.executable,
            mode=str(folder / "mode"),
            sayings=str(folder),
            ffmpeg=str(tools.ffmpeg),
            encoder=str(encoder_of(family)),
        )
    )
    program.chmod(0o755)
    trial = Trial(family=family, encode=None, decode=None)
    seen = (*tools.runtime, folder, tools.ffmpeg.parent)
    return replace(tools, ffmpeg=program, hardware=Hardware(trials=(trial,)), runtime=seen)


def set_mode(folder: Path, mode: str) -> None:
    (folder / "mode").write_text(mode)
