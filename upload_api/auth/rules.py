"""What a request needs, told by its method and path alone. Pure.

What no rule opens is closed: a route that somebody adds needs a key until a line here says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from storage.access import Scope
from storage.ids import VideoId


class Door(Enum):
    OPEN = auto()  # for everybody
    CAPABILITY = auto()  # who knows the address may: it holds 160 random bits
    KEY = auto()  # for callers with a scope
    PAGE = auto()  # the same for people: they are shown where to sign in


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    door: Door
    scope: Scope = Scope.READ


OPEN = Need(door=Door.OPEN)
CAPABILITY = Need(door=Door.CAPABILITY)
PAGE = Need(door=Door.PAGE)

UPLOAD_PLACES = frozenset({"files", "uploads"})
"""The same uploads in two dialects: tus, and the IETF's."""
_OPEN_PLACES = frozenset({"healthz", "readyz", "metrics", "docs", "openapi.json", "signin", "oembed", "favicon.ico"})
_OPEN_FOLDERS = frozenset({"assets", "watch", "embed"})
"""A share page shows what anybody with its link may see; it asks the catalogue, not the key."""


def needed(method: str, path: str) -> Need:
    """``method`` is the effective one."""
    if method == "OPTIONS":
        return OPEN
    match path.strip("/").split("/"):
        case [place] if place in _OPEN_PLACES:
            return OPEN
        case [folder, _, *_] if folder in _OPEN_FOLDERS:
            return OPEN
        case [place] if place in UPLOAD_PLACES:
            return Need(door=Door.KEY, scope=Scope.UPLOAD)
        case [place, _] if place in UPLOAD_PLACES:
            return CAPABILITY
        case ["api", version, *steps] if version.startswith("v"):
            return _of_api(method, steps)
        case _:
            return PAGE


def _of_api(method: str, steps: list[str]) -> Need:
    reads = method in ("GET", "HEAD")
    match steps:
        case ["session"]:
            return OPEN
        case ["uploads", _] if reads:
            return CAPABILITY
        case ["keys", *_]:
            return Need(door=Door.KEY, scope=Scope.ADMIN)
        case ["grants"] | ["uploads", *_]:
            return Need(door=Door.KEY, scope=Scope.UPLOAD)
        case ["videos"] if method == "POST":
            return Need(door=Door.KEY, scope=Scope.UPLOAD)
        case _:
            return Need(door=Door.KEY, scope=Scope.READ if reads else Scope.MANAGE)


_OF_MANY = frozenset({"actions"})


def video_of(path: str) -> VideoId | None:
    """The video that a path of the API is about. Whose it is, is looked up before its route is reached: no route can
    forget to."""
    match path.strip("/").split("/"):
        case ["api", _, "videos", video, *_] if video not in _OF_MANY:
            return VideoId(video)
    return None
