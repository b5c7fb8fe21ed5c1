"""Damaged packets of sound that claim to have dozens of channels cost the sound behind them, not the film: the decoder goes on
with as many."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from storage.lifecycle import VideoState
from tests.media import Pictures, Sound, make_film, samples_heard
from tests.pipeline import through_the_pipeline
from workers.ffmpeg.process import find_tools

pytestmark = pytest.mark.integration

SECONDS = 6
DAMAGED_S = 3


def many_channels() -> bytes:
    """The head of an AAC packet, a program config element (ISO 14496-3, 4.4.1.1) of 45 single channels."""
    counts = ("1111", "1111", "1111", "00", "000", "0000")  # in front, beside, behind; low frequencies, data, coupling
    mixdown = "000"
    elements = "".join(f"0{number % 16:04b}" for number in range(45))
    bits = "".join(("101", "0000", "01", "0100", *counts, mixdown, elements))
    aligned = bits.ljust(-(-len(bits) // 8) * 8, "0") + "00000000"  # no comment
    return int(aligned, 2).to_bytes(len(aligned) // 8, "big")


def test_sound_that_claims_to_be_of_another_kind_for_a_moment_is_left_out(tmp_path: Path) -> None:
    times = [Fraction(number, 10) for number in range(SECONDS * 10)]
    good = make_film(tmp_path / "good.mp4", Pictures(times=times), Sound(seconds=Fraction(SECONDS)), container="mp4")
    film = tmp_path / "film.mp4"
    with av.open(str(good)) as read, av.open(str(film), "w", format="mp4") as copy:
        streams = {stream.index: copy.add_stream_from_template(stream) for stream in read.streams}
        damaged = False
        for packet in read.demux():
            if not packet.size or packet.pts is None or packet.time_base is None:
                continue
            index = packet.stream_index
            if streams[index].type == "audio" and not damaged and packet.pts * packet.time_base >= DAMAGED_S:
                whole = av.Packet(many_channels() + bytes(packet))
                whole.pts, whole.dts, whole.time_base = packet.pts, packet.dts, packet.time_base
                packet, damaged = whole, True
            packet.stream = streams[index]
            copy.mux(packet)

    video, asset = through_the_pipeline(film, tmp_path, find_tools())

    assert video.state is VideoState.READY
    assert "sound_damaged" in {note.code for note in video.notes}
    (sound,) = [row for row in asset.renditions if row.audio]
    (init,) = (tmp_path / "site" / sound.name).glob("init-*.mp4")
    data = init.read_bytes() + b"".join(
        (tmp_path / "site" / sound.name / each.name).read_bytes() for each in sound.segments
    )
    heard = samples_heard(data)
    loud = [max(abs(sample) for sample in heard[second * 48_000 :][:48_000]) for second in range(DAMAGED_S)]
    assert all(level > 0.1 for level in loud), "what is before is heard"
    assert len(heard) >= SECONDS * 48_000, "and silence to the end"
