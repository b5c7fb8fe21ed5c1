"""Where the files of a presentation come from: the port that a folder, a web server or a test fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

Span = tuple[int, int]
"""Bytes ``[start, stop)`` of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came for a URL. ``status`` as in HTTP; ``headers`` in lower case, empty where there is no HTTP."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    redirected: bool = False

    @property
    def found(self) -> bool:
        return self.status in (200, 206)


class Library(Protocol):
    """Answers for absolute URLs. Never raises for one that is missing or unreachable: the answer says so."""

    @property
    def speaks_http(self) -> bool:
        """Whether headers and statuses are a server's own, so that they can be judged."""
        ...

    def read(self, url: str, span: Span | None = None) -> Answer:
        """The whole file, or the bytes of ``span``."""
        ...
