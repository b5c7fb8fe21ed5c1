"""What the index of an MP4 tells of its sound takes the place of a walk over its packets."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from storage.media.mp4_index import parse_mp4_index
from tests.media import Sound, make_film
from workers.ffmpeg.index_facts import with_index

PAUSE_S = 60


def test_a_long_pause_in_the_sound_is_told(tmp_path: Path) -> None:
    good = make_film(tmp_path / "good.mp4", None, Sound(seconds=Fraction(4)), container="mp4")
    film = tmp_path / "film.mp4"
    with av.open(str(good)) as read, av.open(str(film), "w", format="mp4") as copy:
        (stream,) = read.streams
        track = copy.add_stream_from_template(stream)
        assert stream.time_base is not None
        pause = round(PAUSE_S / stream.time_base)
        for number, packet in enumerate(packet for packet in read.demux(stream) if packet.size):
            late = pause if number > 50 else 0
            assert packet.pts is not None
            packet.pts = packet.dts = packet.pts + late
            packet.stream = track
            copy.mux(packet)
    data = film.read_bytes()
    start = data.index(b"moov") - 4
    index = parse_mp4_index(data[start : start + int.from_bytes(data[start : start + 4], "big")], len(data))
    assert index is not None
    rate = index.tracks[0].timescale
    sound = {"index": 0, "type": "audio", "attached_picture": False, "time_base": f"1/{rate}"}

    (track_told,) = with_index({"tracks": [sound]}, index, exact=True)["tracks"]

    assert track_told["scan"]["longest_interval"] >= PAUSE_S * rate
    assert track_told["scan"]["last_duration"] <= 1024, "the last packet may be cut"
