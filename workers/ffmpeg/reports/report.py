"""What `workers.ffmpeg.probing` prints, as it comes out of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Report = Mapping[str, Any]
"""Of a file, or of one of its tracks."""
