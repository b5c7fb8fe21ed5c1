"""Inputs that are too large for the repository: a folder beside the checkout, if it is there."""

from __future__ import annotations

import os
from pathlib import Path


def shared_folder() -> Path | None:
    """The folder ``shared`` beside the checkout (or where ``LADDER_TEST_SHARED`` says); None: tests that need it are
    skipped, with the reason."""
    named = os.environ.get("LADDER_TEST_SHARED")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared"
    return folder if (folder / "media" / "manifest.tsv").is_file() else None
