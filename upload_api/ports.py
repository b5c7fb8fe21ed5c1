"""What the upload API stands on: the ports of `storage`, plugged in by the entry point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from storage.blobs import BlobStore, MultipartStore
from storage.catalogue import Catalogue
from storage.jobs import Bell


class SourceStore(BlobStore, MultipartStore, Protocol):
    """A store that can take a source in parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    catalogue: Catalogue
    blobs: SourceStore
    bell: Bell
