"""What all encodes write, and how their parameters are named. Pure."""

from __future__ import annotations

import hashlib
import json

from workers.ffmpeg.inputs import Options

FRAGMENTED: Options = {
    "f": "mp4",
    # One pass, readable as it comes; offsets relative to each fragment.
    "movflags": "+empty_moov+frag_keyframe+default_base_moof+negative_cts_offsets",
    "use_editlist": 0,  # times are absolute in our segments; an edit list would shift them again
    "map_metadata": -1,  # places and names of the person who filmed
    "map_chapters": -1,
}


def fingerprint(options: Options, ffmpeg_version: str) -> str:
    """Encoder and digest of everything that decides what comes out, apart from what goes in."""
    facts = json.dumps({"ffmpeg": ffmpeg_version, "options": options}, sort_keys=True)
    encoder = options.get("c:v") or options.get("c:a")
    return f"{encoder}/{hashlib.sha256(facts.encode()).hexdigest()[:16]}"
