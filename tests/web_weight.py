"""What a browser loads for each page of the web app, over the wire: ``python -m tests.web_weight [node_modules]``.

Static imports count as loaded with the page; what is imported when it is first needed is told apart.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from upload_api.web.files import Packed, packed_file
from upload_api.web.routes import HERE, LIBRARIES, library_file, page_template, strings_script

_ADDRESSED = re.compile(r'(?:href|src)="/assets/([\w./-]+)"')
_IMPORTED = re.compile(r'(?:from|^import)\s+"(\.[\w./-]+)"', re.MULTILINE)
_IMPORTED_LATER = re.compile(r'import\("(\.[\w./-]+)"\)')


@dataclass(frozen=True, slots=True)
class Weight:
    """Of a page: its own scripts, styles and pictures; libraries and letters; and libraries that it fetches later. Bytes
    over the wire."""

    own_bytes: int
    library_bytes: int
    later_bytes: int
    files: int


def page_weight(page: str, libraries: Path | None) -> Weight:
    html = page_template(page).encode()
    now, later = _loaded(html.decode())
    own = [name for name in now if not name.startswith("lib/")]

    def weigh(names: set[str]) -> int:
        return sum(found.wire_bytes for name in names if (found := _file(name, libraries)) is not None)

    return Weight(
        own_bytes=len(html) + weigh(set(own)),
        library_bytes=weigh(now - set(own)),
        later_bytes=weigh(later - now),
        files=len(now) + 1,
    )


def _loaded(html: str) -> tuple[set[str], set[str]]:
    now: set[str] = set()
    later: set[str] = set()
    waiting = list(_ADDRESSED.findall(html))
    while waiting:
        name = waiting.pop()
        if name in now:
            continue
        now.add(name)
        path = HERE / "assets" / name
        if path.suffix == ".js" and path.is_file():
            script = path.read_text()
            waiting += [_beside(name, target) for target in _IMPORTED.findall(script)]
            later |= {_beside(name, target) for target in _IMPORTED_LATER.findall(script)}
    return now, later


def _beside(name: str, target: str) -> str:
    parts: list[str] = []
    for part in (PurePosixPath(name).parent / target).parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _file(name: str, libraries: Path | None) -> Packed | None:
    if name == "strings.js":
        return strings_script()
    if name.startswith("lib/"):
        return library_file(libraries, name.removeprefix("lib/"))
    found = packed_file(HERE / "assets" / name)
    assert found is not None, f"{name} is named and not there"
    return found


def main() -> None:
    libraries = Path(sys.argv[1] if len(sys.argv) > 1 else "node_modules")
    missing = [name for name in LIBRARIES if library_file(libraries, name) is None]
    print(f"{'page':14} {'own':>8} {'libraries':>10} {'when needed':>12} {'files':>6}   (kB over the wire)")
    for page in sorted(path.name for path in (HERE / "pages").iterdir()):
        weight = page_weight(page, libraries)
        parts = (weight.own_bytes, weight.library_bytes, weight.later_bytes)
        print(f"{page:14} {parts[0] / 1000:8.1f} {parts[1] / 1000:10.1f} {parts[2] / 1000:12.1f} {weight.files:6}")
    if missing:
        print(f"Not installed, and so not counted: {', '.join(missing)}")


if __name__ == "__main__":
    main()
