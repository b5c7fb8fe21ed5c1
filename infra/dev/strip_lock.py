"""Lock files say what, by its hash, and never where from: whoever installs has a source of their own."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

_ADDRESS = re.compile(r"https?://\S+")


def without_addresses(lock: Any) -> Any:
    """An npm lock without download addresses and requests for donations."""
    if isinstance(lock, dict):
        return {key: without_addresses(value) for key, value in lock.items() if key not in ("resolved", "funding")}
    if isinstance(lock, list):
        return [without_addresses(item) for item in lock]
    return lock


def main(paths: list[str]) -> None:
    for path in map(Path, paths):
        if path.suffix == ".json":
            path.write_text(json.dumps(without_addresses(json.loads(path.read_text())), indent=2) + "\n")
        if found := _ADDRESS.search(path.read_text()):
            sys.exit(f"{path} holds an address: {found.group()}")


if __name__ == "__main__":
    main(sys.argv[1:])
