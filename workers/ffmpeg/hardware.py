"""Encoding and decoding on graphics cards: what is tried, what is learnt from it, and what it means that it fails. Pure.

Nothing is believed of lists: every build of ffmpeg names encoders whose hardware is not there, and cards decode what they do
not encode. So both are tried for real, each by itself, and a card is used for what it did.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from storage.media.encoders import Encoder, Family, encoder_of
from storage.media.ladder import EncodePlan, Rung
from storage.media.source import VideoTrack
from workers.ffmpeg.inputs import GLOBAL, Options

RENDER_NODE = "/dev/dri/renderD128"
"""The first card that needs no display, on Linux."""

TRIAL_SIZE = "320x240"
"""Small, but not smaller than what cards take."""


class Failure(StrEnum):
    """Why a card did not do its work."""

    NO_DEVICE = "no_device"  # there is none, or no driver for it
    SESSION_LIMIT = "session_limit"  # it encodes as much at once as it may
    OUT_OF_MEMORY = "out_of_memory"
    DEVICE_LOST = "device_lost"  # it was there, and went
    NOT_SUPPORTED = "not_supported"  # it cannot do this
    UNKNOWN = "unknown"


# What drivers say through ffmpeg, the telling words first. A session too many is an "out of memory (10)" at NVIDIA.
_SAYINGS: dict[Failure, tuple[str, ...]] = {
    Failure.SESSION_LIMIT: (
        r"OpenEncodeSessionEx failed: (?:out of memory|incompatible client key)",
        r"too many concurrent",
    ),
    Failure.DEVICE_LOST: (
        r"CUDA_ERROR_(?:ILLEGAL_ADDRESS|LAUNCH_FAILED|ECC|UNKNOWN|DEVICE_UNAVAILABLE)",
        r"device (?:was )?lost",
        r"GPU hang",
        r"fallen off the bus",
        r"MFX_ERR_DEVICE_(?:LOST|FAILED)",
        r"device failed",
        r"H(?:ard)?W(?:are)? busy",  # libva's word for one that hangs
    ),
    Failure.OUT_OF_MEMORY: (
        r"out of memory",
        r"Cannot allocate memory",
        r"resource allocation failed",
        r"failed to allocate memory",
        r"MFX_ERR_MEMORY_ALLOC",
    ),
    Failure.NO_DEVICE: (
        r"No capable devices found",
        r"Cannot load (?:libcuda|libnvidia-encode|nvcuda)",
        r"no CUDA-capable device",
        r"CUDA_ERROR_NO_DEVICE",
        r"Device creation failed",
        r"No VA display found",
        r"Failed to initiali[sz]e VAAPI",
        r"Error (?:creating|initializing) .*(?:MFX|QSV)",
        r"MFX_ERR_UNSUPPORTED",
        r"No device available",
        r"init_hw_device",
    ),
    Failure.NOT_SUPPORTED: (
        r"not supported",
        r"No usable encoding entrypoint",
        r"unsupported",
        r"Invalid (?:param|video parameter)",
        r"doesn't support",
    ),
}
_PATTERNS = {failure: re.compile("|".join(said), re.IGNORECASE) for failure, said in _SAYINGS.items()}


def why(stderr: str) -> Failure:
    """What kind of failure a driver speaks of."""
    return next((failure for failure, saying in _PATTERNS.items() if saying.search(stderr)), Failure.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a family did on this machine. ``None``: it worked; else why not, and in what words."""

    family: Family
    encode: Failure | None
    encode_said: str = ""
    decode: Failure | None
    decode_said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What the graphics hardware of this machine was seen to do."""

    trials: tuple[Trial, ...] = ()

    @property
    def encodes(self) -> tuple[Family, ...]:
        return tuple(trial.family for trial in self.trials if trial.encode is None)

    @property
    def decodes(self) -> tuple[Family, ...]:
        return tuple(trial.family for trial in self.trials if trial.decode is None)


def trial_encode_command(family: Family, *, output_path: Path, program: str = "ffmpeg") -> list[str]:
    """Five small frames, to a file that the decoder's trial reads."""
    plain = ["-f", "lavfi", "-i", f"testsrc2=size={TRIAL_SIZE}:rate=25", "-frames:v", "5", "-an"]
    prepared = [] if family is not Family.VAAPI else ["-vf", "format=nv12,hwupload"]
    pixels = [] if family is Family.VAAPI else ["-pix_fmt", "nv12"]
    encoder = ["-c:v", str(encoder_of(family)), "-f", "mp4", f"file:{output_path}"]
    return [program, *GLOBAL, *device_arguments(family), *plain, *prepared, *pixels, *encoder]


def trial_decode_command(family: Family, *, input_path: Path, program: str = "ffmpeg") -> list[str]:
    """Decode on the card or not at all: without a software format to fall back to."""
    there = ["-hwaccel", _HWACCEL[family], "-hwaccel_output_format", _SURFACE[family], "-i", f"file:{input_path}"]
    back = ["-vf", "hwdownload,format=nv12", "-f", "null", "-"]
    return [program, *GLOBAL, *device_arguments(family), *there, *back]


_HWACCEL = {Family.NVENC: "cuda", Family.VAAPI: "vaapi", Family.QSV: "qsv"}
_SURFACE = {Family.NVENC: "cuda", Family.VAAPI: "vaapi", Family.QSV: "qsv"}


def device_arguments(family: Family) -> list[str]:
    """Global options that open the card; filters that upload use it too. NVENC opens its own."""
    if family is Family.VAAPI:
        return ["-init_hw_device", f"vaapi=card:{RENDER_NODE}", "-filter_hw_device", "card"]
    if family is Family.QSV:
        return ["-init_hw_device", "qsv=card:hw"]
    return []


# What cards decode alike, whatever their age; anything else is left to the CPU, which decodes it all.
_DECODED = frozenset({"h264", "hevc", "vp9", "av1", "mpeg2video"})


def decoding_options(family: Family, track: VideoTrack) -> Options:
    """Input options that decode on the card, frames coming back to memory for our filters; none for what cards differ in."""
    if track.codec not in _DECODED or track.bit_depth != 8 or track.pixel_format not in ("yuv420p", "yuvj420p", "nv12"):
        return {}
    return {"hwaccel": _HWACCEL[family]}


def encoding_options(rung: Rung, plan: EncodePlan) -> Options:
    """What decides the bytes of ``rung``, apart from the pictures and from what all encoders have in common. Keyframes
    exactly where segments need them, and nothing that refers across them."""
    common: Options = {"c:v": str(rung.encoder), "profile:v": "high", "g": plan.ladder.gop_frames}
    capped: Options = {"maxrate": rung.max_rate_bps, "bufsize": 2 * rung.max_rate_bps}
    match rung.encoder:
        case Encoder.NVENC:
            return {
                **common,
                "preset": "p5",
                "tune": "hq",
                # Constant quality under a cap, as on the CPU: a chunk needs to know nothing of the others.
                "rc": "vbr",
                "cq": rung.crf,
                "b:v": 0,
                **capped,
                "bf": 3,
                "b_ref_mode": "middle",
                "spatial-aq": 1,
                "rc-lookahead": 20,
                "forced-idr": 1,
                "no-scenecut": 1,
                "strict_gop": 1,
            }
        case Encoder.VAAPI:
            # No B-frames: half of the drivers have none, and a rendition is not to depend on who made it.
            return {
                **common,
                "rc_mode": "QVBR",
                "global_quality": rung.crf,
                "b:v": rung.max_rate_bps * 3 // 4,
                **capped,
                "bf": 0,
                "idr_interval": 0,
            }
        case Encoder.QSV:
            return {
                **common,
                "preset": "medium",
                "global_quality": rung.crf,
                **capped,
                "bf": 3,
                "idr_interval": 0,
                "forced_idr": 1,
                "adaptive_i": 0,
                "look_ahead": 0,
            }
        case Encoder.X264:
            raise ValueError("the CPU's encoder is no hardware")
