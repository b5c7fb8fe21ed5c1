"""What the upload API stands on: the ports of `storage`, plugged in by the entry point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from storage.blobs import BlobStore, CopyParts, MultipartStore
from storage.catalogue import Catalogue
from storage.jobs import Bell


class SourceStore(BlobStore, MultipartStore, CopyParts, Protocol):
    """A store that can take a source in parts, sent or copied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    catalogue: Catalogue
    blobs: SourceStore
    bell: Bell
