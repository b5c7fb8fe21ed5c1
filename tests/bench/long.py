"""A film of half a day through the whole stack: when it plays, when it is ready, and how much memory workers need.

    python -m tests.bench.long [--hours 12] [--workers 2]

The film is a small one, copied end to end: real pictures where `make setup` brought them. Memory is the largest resident
set that any process of a role had, quarter by quarter of the way: what grows with the film shows as a rise.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import threading
import time
from pathlib import Path

from tests.bench.films import SAMPLE, Film, ffmpeg
from tests.bench.playable import log_lines, turns, upload
from tests.bench.tables import render_table
from tests.e2e.published import video_facts
from tests.e2e.stack import RunningStack, running_stack

SHORT_S = 30


def tiny_film(folder: Path, hours: float) -> Film:
    """Small pictures, twelve a second, with low sound: half a day of it is a file of about 100 MB."""
    once, target = folder / "tiny.mp4", folder / f"tiny-{hours:g}.mp4"
    if not target.exists():
        made = ["-f", "lavfi", "-i", f"testsrc2=size=256x144:rate=12:duration={SHORT_S}"]
        made += ["-f", "lavfi", "-i", f"sine=frequency=300:sample_rate=16000:duration={SHORT_S}"]
        read = ["-t", str(SHORT_S), "-i", str(SAMPLE)] if SAMPLE.exists() else made
        coded = ["-vf", "scale=256:144,fps=12", "-c:v", "libx264", "-preset", "slow", "-crf", "43", "-g", "120"]
        sound = ["-c:a", "aac", "-b:a", "8k", "-ac", "1", "-ar", "16000"]
        ffmpeg(*read, *coded, "-pix_fmt", "yuv420p", *sound, str(once))
        seconds = round(hours * 3600)
        loops = ["-stream_loop", str(seconds // SHORT_S - 1), "-i", str(once)]
        ffmpeg(*loops, "-c", "copy", "-movflags", "+faststart", str(target))
    return Film(path=target, seconds=round(hours * 3600))


class Memory(threading.Thread):
    """Watches the processes below one folder's stack."""

    def __init__(self, stack: RunningStack) -> None:
        super().__init__(daemon=True)
        self.quarter = 0
        self.most: dict[str, list[int]] = {}  # KiB, by role and quarter
        self.stopped = threading.Event()
        self._root = stack.process.pid

    def run(self) -> None:
        while not self.stopped.wait(3.0):
            for pid in _descendants(self._root):
                with contextlib.suppress(OSError):
                    role = _role(Path(f"/proc/{pid}/cmdline").read_bytes())
                    if role is not None:
                        status = Path(f"/proc/{pid}/status").read_text()
                        kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
                        seen = self.most.setdefault(role, [0, 0, 0, 0])
                        seen[self.quarter] = max(seen[self.quarter], kib)


def _role(command: bytes) -> str | None:
    words = command.decode(errors="replace").split("\0")
    if "celery" in words and "worker" in words:
        return "worker"
    if "serve" in words:
        return words[words.index("serve") + 1]
    return "ffmpeg" if words and "ffmpeg" in words[0] else None


def _descendants(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text()
                parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=12)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fishladder-bench-") as name:
        folder = Path(name)
        film = tiny_film(folder, asked.hours)
        state = folder / "state"
        state.mkdir()
        with running_stack(state, workers=asked.workers) as stack:
            memory = Memory(stack)
            memory.start()
            video, sent_s = upload(stack, film, "Half a day")
            seen: dict[str, float] = {}
            told = -1
            while "ready" not in seen:
                facts = video_facts(stack.api, video)
                seen.setdefault(facts["state"], time.time() - sent_s)
                memory.quarter = min(3, int(facts["progress"] * 4))
                if facts["state"] in ("failed", "rejected"):
                    raise SystemExit(f"{facts['state']}: {facts['reason']}")
                if round(facts["progress"] * 10) > told:
                    told = round(facts["progress"] * 10)
                    print(f"{time.time() - sent_s:7.1f} s  {facts['state']}, {facts['progress']:.0%}", flush=True)
                time.sleep(2 if "playable" in seen else 0.05)  # looking costs the machine that is measured
            time.sleep(0.5)
            memory.stopped.set()
            lines = log_lines(stack, video)
            print(_table(film, seen, memory, lines, stack))


def _table(
    film: Film, seen: dict[str, float], memory: Memory, lines: list[dict[str, object]], stack: RunningStack
) -> str:
    done = turns(lines)
    publish = sorted(turn.ended_s - turn.began_s for turn in done if turn.kind == "publish")
    read = sum(int(str(line.get("read_bytes", 0))) for line in lines if line["event"] == "job_done")
    rows = [
        ("size", f"{film.path.stat().st_size / 1e6:.0f} MB"),
        ("playable after", f"{seen.get('playable', 0):.1f} s"),
        ("ready after", f"{seen['ready']:.0f} s"),
        ("jobs", str(len(done))),
        (
            "publications",
            f"{len(publish)}, median {publish[len(publish) // 2]:.2f} s, last {publish[-1]:.2f} s at most",
        ),
        ("read of the source", f"{read / 1e6:.0f} MB"),
        *(
            (f"memory of {role}, by quarter", ", ".join(f"{kib / 1024:.0f}" for kib in quarters) + " MiB")
            for role, quarters in sorted(memory.most.items())
        ),
    ]
    return render_table(("what", "figure"), rows)


if __name__ == "__main__":
    main()
