"""CMAF (ISO/IEC 23000-19): from an encoder's fragmented MP4 to our init segments and segments, as pure functions."""

from __future__ import annotations

from packager.cmaf.facts import AudioFacts, Facts, VideoFacts, read_facts
from packager.cmaf.writer import AudioCut, CutSegment, VideoCut, cut_audio, cut_video

__all__ = [
    "AudioCut",
    "AudioFacts",
    "CutSegment",
    "Facts",
    "VideoCut",
    "VideoFacts",
    "cut_audio",
    "cut_video",
    "read_facts",
]
