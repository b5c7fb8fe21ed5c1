"""``python -m tests.bench.soak_origin [SECONDS]``: the origin at saturation, over ten times the objects that its memory holds.

Fails if its memory grows by 5 % or more after the first fifth of the time, if descriptors do, or at any error. What is under
way at a time differs from second to second, so memory is the median of a third of the time; peaks are told beside it.
"""

from __future__ import annotations

import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

from tests.origin_app import VIDEO, Published, running_origin

CACHE_BYTES = 32 * 1024 * 1024
SEGMENT_BYTES = 500_000
CONNECTIONS = 100


def main(seconds: int) -> int:
    with tempfile.TemporaryDirectory(prefix="soak-origin-") as name:
        published = Published(Path(name))
        published.publish("master.m3u8", b"#EXTM3U\n")
        count = 10 * CACHE_BYTES // SEGMENT_BYTES
        paths = [published.store_segment(secrets.token_bytes(SEGMENT_BYTES), number) for number in range(count)]
        script = Path(name) / "soak.lua"
        script.write_text(_script(paths))
        disk = {"origin_disk_cache": f"{name}/cache", "origin_disk_cache_bytes": 4 * CACHE_BYTES}
        with running_origin(published, origin_cache_bytes=CACHE_BYTES, **disk) as origin:
            argv = [
                "wrk",
                "-t1",
                f"-c{CONNECTIONS}",
                f"-d{seconds}s",
                "--timeout",
                "30s",
                "-s",
                str(script),
                origin.url,
            ]
            load = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
            worker = origin.worker()
            samples: list[tuple[float, int, int]] = []
            began = time.monotonic()
            while load.poll() is None:
                time.sleep(1)
                if load.poll() is None:
                    samples.append((time.monotonic() - began, worker.memory_info().rss, worker.num_fds()))
            printed = load.communicate()[0]
    settled = [sample for sample in samples if sample[0] > seconds / 5]
    third = max(1, len(settled) // 3)
    parts = settled[:third], settled[-third:]
    early, late = (statistics.median(rss for _, rss, _ in part) for part in parts)
    # The fewest at a time: files that are being read come and go.
    fds = [min(number for _, _, number in part) for part in parts]
    for minute, of_minute in groupby(samples, lambda sample: int(sample[0] // 60)):
        held = [rss / 1e6 for _, rss, _ in of_minute]
        print(f"minute {minute}: RSS {min(held):.0f} to {max(held):.0f} MB, median {statistics.median(held):.0f} MB")
    match = re.search(r"DONE (\d+) (\d+) (\d+) (\d+) (\d+)", printed)
    assert match, printed
    requests, received, broken, refused, late_ones = map(int, match.groups())
    errors = broken + refused + late_ones
    print(
        f"{seconds} s, {CONNECTIONS} connections, {count * SEGMENT_BYTES / 1e6:.0f} MB through {CACHE_BYTES / 1e6:.0f} MB"
    )
    print(f"{requests} answers, {received / 1e9:.1f} GB; {broken} broken, {refused} refused, {late_ones} late")
    print(
        f"RSS {early / 1e6:.0f} MB in the first third after that, {late / 1e6:.0f} MB in the last ({late / early - 1:+.1%}); "
        f"descriptors {fds[0]}, then {fds[1]}"
    )
    return 0 if late < early * 1.05 and fds[1] <= fds[0] and not errors else 1


def _script(paths: list[str]) -> str:
    listed = ", ".join(f'"/v/{VIDEO}/{path}"' for path in paths)
    return f"""
local paths = {{ {listed} }}
math.randomseed(7)
request = function() return wrk.format("GET", paths[math.random(#paths)]) end
done = function(summary)
  local e = summary.errors
  io.write(string.format("DONE %d %d %d %d %d\\n", summary.requests, summary.bytes,
    e.connect + e.read + e.write, e.status, e.timeout))
end
"""


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 600))
