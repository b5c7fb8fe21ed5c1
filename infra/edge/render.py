"""Fills in the configurations of edges: ``python -m infra.edge.render nginx|varnish NAME=VALUE… > file``."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from storage.errors import InvalidRequest

_FOLDER = Path(__file__).parent
_FILES = {"nginx": "nginx.conf", "varnish": "varnish.vcl"}
_DEFAULTS: dict[str, dict[str, str]] = {
    "nginx": {
        "STATE": "/var/lib/fishladder-edge",
        "WORKERS": "auto",
        "LISTEN": "80",
        "CACHE_SIZE": "20g",
        "MEDIA_LIFETIME": "1d",
    },
    "varnish": {"ORIGIN_PORT": "8081", "PURGERS": '"127.0.0.1";'},
}
_NAME = re.compile(r"@([A-Z_]+)@")


def render_edge(kind: str, values: Mapping[str, str]) -> str:
    """The configuration of an edge. Raises `InvalidRequest` for a value that is missing or cannot be one."""
    given = {**_DEFAULTS[kind], **values}
    if kind == "nginx":
        # Without it nginx drops to a user of its own when root starts it, who may not read a private state folder.
        given.setdefault("USER", "user root;" if os.geteuid() == 0 and values.get("STATE") else "")
        given.setdefault("UPSTREAM", given.get("ORIGIN", ""))
    text = "".join(
        line for line in (_FOLDER / _FILES[kind]).read_text().splitlines(keepends=True) if not line.startswith("#")
    )
    for name in sorted(set(_NAME.findall(text))):
        if name not in given:
            raise InvalidRequest(f"The {kind} configuration needs {name}=….")
        if name not in ("USER", "PURGERS") and re.search(r"[\s;\"'{}\\]", given[name]):
            raise InvalidRequest(f"{name} must not hold blanks, quotes or braces.")
        text = text.replace(f"@{name}@", given[name])
    return text


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] not in _FILES or not all("=" in pair for pair in arguments[1:]):
        print("usage: python -m infra.edge.render nginx|varnish NAME=VALUE…", file=sys.stderr)  # noqa: T201 - for people
        return 1
    try:
        print(render_edge(arguments[0], dict(pair.split("=", 1) for pair in arguments[1:])))  # noqa: T201 - its output
    except InvalidRequest as error:
        print(error.sentence, file=sys.stderr)  # noqa: T201 - for people
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
