"""The tree of our errors, for tests that hold a table against all of it."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from storage.errors import FishladderError


@cache
def errors_of(*rooms: str) -> tuple[type[FishladderError], ...]:
    """Every error class of ``rooms``, wherever in them it is defined, in the order of their names."""
    for room in rooms:
        for module in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}."):
            if ".migrations." not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)

    def below(kind: type[FishladderError]) -> set[type[FishladderError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    found = {kind for kind in below(FishladderError) if kind.__module__.partition(".")[0] in rooms}
    return tuple(sorted(found, key=lambda kind: (kind.__name__, kind.__module__)))
