"""The program.

    python -m excerpting --demuxer mpegts --decoders aac,mp2 --size 123 --track 1 --seek-us 600 --until-us 900 [TO]

Standard input is the socket of `remote`. Without ``TO`` all is read that the ffmpeg program is going to read there
(`rehearsing`), and nothing written. Prints one JSON object. A track that cannot be copied exactly is a report too
(``error``), not a failure: exit code 0. Anything else is a crash, and belongs to whoever runs this.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from pathlib import Path

import av.error
import av.logging

from .copying import Wanted, excerpt
from .rehearsing import rehearse
from .remote import RemoteFile
from .writing import Unfit


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demuxer", required=True)
    parser.add_argument("--decoders", required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--track", type=int, required=True)
    parser.add_argument("--seek-us", type=int)
    parser.add_argument("--until-us", type=int, required=True)
    parser.add_argument("--more", type=int, default=0)
    parser.add_argument("--furthest-us", type=int, default=0)
    parser.add_argument("--keyframes-only", action="store_true")
    parser.add_argument("to", type=Path, nargs="?")
    asked = parser.parse_args(argv)
    av.logging.set_level(None)
    wanted = Wanted(
        demuxer=asked.demuxer,
        decoders=asked.decoders,
        index=asked.track,
        seek_us=asked.seek_us,
        until_us=asked.until_us,
    )
    with socket.socket(fileno=sys.stdin.fileno()) as connection:
        file = RemoteFile(connection, asked.size)
        try:
            if asked.to is None:
                report = rehearse(
                    file,
                    wanted,
                    more=asked.more,
                    keyframes_only=asked.keyframes_only,
                    furthest_us=asked.furthest_us,
                )
            else:
                report = excerpt(file, wanted, asked.to)
        except (av.error.FFmpegError, Unfit, ValueError) as error:
            report = {"error": f"{type(error).__name__}: {error}"}
    json.dump(report, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
