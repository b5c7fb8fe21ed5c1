"""The program.

    python -m probing --demuxer mov --decoders h264,aac --scan-bytes 268435456 FILE

All times are integer ticks of the track's own ``time_base``. A file that cannot be opened is a report too (``error``),
not a failure: exit code 0. Anything else is a crash, and belongs to whoever runs this.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import av.logging

from .looking import probe


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demuxer", required=True)
    parser.add_argument("--decoders", required=True)
    parser.add_argument("--scan-bytes", type=int, required=True)
    parser.add_argument("--head-bytes", type=int, help="so much of the file is here, and its end; nothing in between")
    parser.add_argument("file", type=Path)
    asked = parser.parse_args(argv)
    av.logging.set_level(None)
    found = probe(
        asked.file,
        demuxer=asked.demuxer,
        decoders=frozenset(asked.decoders.split(",")),
        scan_bytes=asked.scan_bytes,
        head_bytes=asked.head_bytes,
    )
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
