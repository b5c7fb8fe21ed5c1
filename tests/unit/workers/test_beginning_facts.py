"""What the beginning and the end of a file tell is believed as far as they go together."""

from __future__ import annotations

from typing import Any

import pytest

from storage.errors import DamagedSource
from workers.ffmpeg.beginning_facts import check_beginning

MEGABYTE = 1024 * 1024
AN_HOUR_S = 3600


def a_report(*, picture_s: float = AN_HOUR_S, sound_s: float = AN_HOUR_S) -> dict[str, Any]:
    """Of a film of an hour by its density: 16 seconds to a megabyte, 225 of them."""
    pictures = {
        "type": "video",
        "time_base": "1/1000",
        "head": {"first": 0, "last": 15_960},
        "tail": {"last": round(picture_s * 1000), "last_duration": 40},
        "sample": {},
    }
    sound = {
        "type": "audio",
        "time_base": "1/48000",
        "scan": {"first": 0, "last": round(sound_s * 48_000), "last_duration": 1024},
        "sample": {},
    }
    return {
        "error": None,
        "size_bytes": 225 * MEGABYTE,
        "early_bytes": MEGABYTE,
        "tracks": [pictures, sound],
    }


@pytest.mark.parametrize("sound_s", [0, AN_HOUR_S, 4 * AN_HOUR_S])
def test_a_file_as_long_as_its_density_says_is_believed(sound_s: float) -> None:
    check_beginning(a_report(sound_s=sound_s))


@pytest.mark.parametrize("changes", [{"picture_s": 27 * AN_HOUR_S}, {"picture_s": 100}, {"sound_s": 27 * AN_HOUR_S}])
def test_an_end_that_is_much_further_than_the_bytes_reach_is_not_believed(changes: dict[str, float]) -> None:
    with pytest.raises(DamagedSource):
        check_beginning(a_report(**changes))
