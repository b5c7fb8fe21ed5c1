"""An ffmpeg that pretends to have an NVIDIA card, and fails as its driver does when it is told to.

It is a program of its own in front of the real one: what it is asked to encode with NVENC it has x264 encode, so that what
comes out is a real film.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from storage.media.encoders import Family
from workers.ffmpeg.hardware import Hardware, Trial
from workers.ffmpeg.tools import Tools

SAYINGS = {
    "session_limit": "[h264_nvenc @ 0x55d5] OpenEncodeSessionEx failed: out of memory (10): (no details)\n"
    "[vost#0:0/h264_nvenc @ 0x55d6] Error while opening encoder - maybe incorrect parameters such as bit_rate, rate, width"
    " or height.\n",
    "out_of_memory": "[h264_nvenc @ 0x55d5] cuvidCreateDecoder failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory\n",
    "device_lost": "[h264_nvenc @ 0x55d5] EncodePicture failed!: generic error (20): CUDA_ERROR_LAUNCH_FAILED\n",
    "no_device": "[h264_nvenc @ 0x55d5] Cannot load libcuda.so.1\n",
    "not_supported": "[h264_nvenc @ 0x55d5] B frames as references are not supported\n",
    "unknown": "[h264_nvenc @ 0x55d5] The moon is in the wrong place.\n",
}

_PROGRAM = """#!{python}
import os, pathlib, sys
argv = sys.argv[1:]
mode = pathlib.Path({mode!r}).read_text().split()
if "h264_nvenc" in argv:
    failing, _, when = mode[0].partition("@")
    seeks = "-ss" in argv
    if failing != "works" and (when != "later" or seeks):
        sys.stderr.write(pathlib.Path({sayings!r}, failing).read_text())
        sys.exit(218)
    kept, at = [], 0
    ours = {{"-preset": "ultrafast", "-c:v": "libx264"}}
    lost = {{"-tune", "-rc", "-cq", "-b_ref_mode", "-spatial-aq", "-rc-lookahead", "-forced-idr", "-no-scenecut",
            "-strict_gop", "-b:v", "-hwaccel"}}
    while at < len(argv):
        word = argv[at]
        if word in lost:
            at += 2
            continue
        kept.append(word)
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


def with_fake_gpu(tools: Tools, folder: Path, mode: str = "works") -> Tools:
    """``tools`` whose ffmpeg has a card. ``mode``: ``works``, one of `SAYINGS`, or that with ``@later``: it works on the
    first chunk and fails on others. `set_mode` changes it."""
    folder.mkdir(parents=True, exist_ok=True)
    set_mode(folder, mode)
    for name, said in SAYINGS.items():
        (folder / name).write_text(said)
    program = folder / "ffmpeg"
    program.write_text(
        _PROGRAM.format(python=sys.executable, mode=str(folder / "mode"), sayings=str(folder), ffmpeg=str(tools.ffmpeg))
    )
    program.chmod(0o755)
    trial = Trial(family=Family.NVENC, encode=None, decode=None)
    seen = (*tools.runtime, folder, tools.ffmpeg.parent)
    return replace(tools, ffmpeg=program, hardware=Hardware(trials=(trial,)), runtime=seen)


def set_mode(folder: Path, mode: str) -> None:
    (folder / "mode").write_text(mode)
