"""How good our rungs look: VMAF and bit rate of each, the baseline of any later tuning.

    python -m tests.bench.quality [--seconds 12] [--seams] [FILM…]

Every rung is decoded, scaled to the film's own size (bicubic, as players do) and compared with it, frame by frame. The
harmonic mean and the 5th percentile say what the mean hides: moments that look bad.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.machine import cpu_count
from tests.bench.encode import ROOT, planned
from tests.bench.films import SAMPLE, ffmpeg, short_film
from tests.bench.tables import render_table
from tests.seams import seams_of
from tests.shared import shared_folder
from workers.ffmpeg.process import find_tools
from workers.planning.policy import LadderPolicy

SAMPLES = (
    "bbb_1080p24_h264_aac51_30s.mp4",
    "city_aerial_1080p_h264_12s.mp4",
    "sintel_trailer_720p24_h264_aac_52s.mp4",
    "joyrides_720p24_h264_aac_15s.mp4",
    "roof_360p30_h264_baseline_aac_17s.mp4",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    rung: str
    rate_bps: float
    mean: float
    harmonic_mean: float
    low: float
    """The 5th percentile."""


def encoded(film: Path, folder: Path) -> Path:
    out = folder / "made"
    subprocess.run(
        [sys.executable, "-m", "infra", "encode", str(film), str(out)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "FISHLADDER_WORKERS": str(cpu_count())},
    )
    return out


def joined(rendition: Path, folder: Path) -> tuple[Path, int]:
    """The rendition as one file, and how many bytes its segments are."""
    segments = sorted(rendition.glob("*.m4s"), key=lambda path: int(path.name.split("-")[0]))
    init = next(rendition.glob("init-*.mp4"))
    target = folder / f"{rendition.name}.mp4"
    target.write_bytes(init.read_bytes() + b"".join(path.read_bytes() for path in segments))
    return target, sum(path.stat().st_size for path in segments)


def compared(film: Path, rung: Path, size: tuple[int, int], folder: Path) -> list[float]:
    """VMAF of each frame."""
    log = folder / "vmaf.json"
    width, height = size
    graph = (
        f"[0:v:0]scale={width}:{height}:flags=bicubic,format=yuv420p,settb=1/25,setpts=N[seen];"
        "[1:v:0]format=yuv420p,settb=1/25,setpts=N[meant];"
        f"[seen][meant]libvmaf=n_threads={cpu_count()}:log_fmt=json:log_path={log}"
    )
    command = [
        "-i",
        str(rung),
        "-i",
        str(film),
        "-filter_complex",
        graph,
        "-an",
        "-fps_mode",
        "passthrough",
        "-f",
        "null",
        "-",
    ]
    ffmpeg(*command)
    return sorted(frame["metrics"]["vmaf"] for frame in json.loads(log.read_text())["frames"])


def judged(rung: str, scores: list[float], size_bytes: int, seconds: float) -> Quality:
    return Quality(
        rung=rung,
        rate_bps=8 * size_bytes / seconds,
        mean=sum(scores) / len(scores),
        # As libvmaf pools it: a frame of no quality at all counts, but not infinitely.
        harmonic_mean=len(scores) / sum(1 / (score + 1) for score in scores) - 1,
        low=scores[len(scores) // 20],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--seams", action="store_true", help="PSNR around seams between chunks too, of the top rung")
    asked = parser.parse_args()
    if "libvmaf" not in find_tools().filters:
        raise SystemExit("This ffmpeg has no libvmaf. The one of the imageio-ffmpeg wheel has.")
    with tempfile.TemporaryDirectory(prefix="fishladder-bench-") as name:
        films = asked.films or samples() or [SAMPLE if SAMPLE.exists() else short_film(Path(name))]
        for number, film in enumerate(films):
            folder = Path(name) / str(number)
            folder.mkdir()
            print(f"{film.name}, the first {asked.seconds:g} s\n\n{table(film, asked.seconds, folder)}\n", flush=True)
            if asked.seams:
                print(f"{seams_table(folder)}\n", flush=True)


def samples() -> list[Path]:
    """Film, camera, trailer and phone, where the shared inputs are at hand."""
    shared = shared_folder()
    return [] if shared is None else [shared / "media" / name for name in SAMPLES]


def seams_table(folder: Path) -> str:
    """Of the clip that `table` left in ``folder``."""
    seams = seams_of(folder / "clip.mp4", find_tools(), folder / "seams", LadderPolicy())
    rows = [
        (
            f"{float(seam.at):.1f} s",
            f"{seam.continuous_db:.2f} dB",
            f"{seam.apart_db:.2f} dB",
            f"{seam.loss_db:+.2f} dB",
        )
        for seam in seams
    ]
    return render_table(("seam", "one encode", "chunks", "lost"), rows)


def table(film: Path, seconds: float, folder: Path) -> str:
    clip = folder / "clip.mp4"
    ffmpeg("-i", str(film), "-t", str(seconds), "-map", "0:v:0", "-c", "copy", str(clip))
    plan = planned(clip)
    out = encoded(clip, folder)
    top = plan.ladder.rungs[-1]
    found = []
    for rung in plan.ladder.rungs:
        file, size_bytes = joined(out / rung.name, folder)
        scores = compared(clip, file, (top.width, top.height), folder)
        found.append(judged(rung.name, scores, size_bytes, float(plan.duration)))
    rows = [
        (one.rung, f"{one.rate_bps / 1000:.0f} kb/s", f"{one.mean:.1f}", f"{one.harmonic_mean:.1f}", f"{one.low:.1f}")
        for one in found
    ]
    return render_table(("rung", "bit rate", "VMAF mean", "harmonic mean", "5th percentile"), rows)


if __name__ == "__main__":
    main()
