"""What the encoding steps hand back and store: rows, thumbnails, colours."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

from storage.jobs import JobKind
from storage.keys import asset_key, hash12, rendition_key
from tests.builders import a_rung
from tests.media import Pictures, Sound, make_film, samples_heard
from tests.steps import Worktable, a_small_plan, facts_of
from workers.ffmpeg.process import Tools, find_tools
from workers.steps.audio import audio
from workers.steps.encode import encode
from workers.steps.thumbnails import thumbnails

pytestmark = pytest.mark.integration

STEADY = tuple(Fraction(number, 25) for number in range(100))


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.fixture
def work(tools: Tools, tmp_path: Path) -> Worktable:
    return a_worktable(tools, tmp_path)


def a_worktable(tools: Tools, tmp_path: Path, **video: object) -> Worktable:
    path = make_film(tmp_path / "film.mp4", Pictures(times=STEADY), Sound(seconds=Fraction(4)), container="mp4")
    source = facts_of(path, "mov", **video)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Worktable(path=path, source=source, plan=a_small_plan(source), tools=tools, scratch=scratch)


def test_rows_tell_what_is_stored(work: Worktable) -> None:
    outcome = encode(work.context(JobKind.ENCODE, chunk=1, rungs=["96p"]))

    (output,) = outcome.outputs
    asset = work.context(JobKind.ENCODE).asset.id
    assert [segment.number for segment in output.segments] == [2, 3]
    for segment in output.segments:
        data = work.blobs.get(rendition_key(asset, "96p", segment.name))
        assert (segment.name, segment.size_bytes) == (f"{segment.number}-{hash12(data)}.m4s", len(data))
        assert len(segment.iframes) == 2
        assert work.blobs.head(rendition_key(asset, "96p", segment.name)).content_type == "video/mp4"
    init = work.blobs.get(rendition_key(asset, "96p", output.init_name))
    assert (output.init_name, output.init_size_bytes) == (f"init-{hash12(init)}.mp4", len(init))
    assert output.codecs.startswith("avc1.64")
    assert outcome.cpu_ms > 0


def test_all_rungs_of_a_job_come_from_one_run(work: Worktable) -> None:
    ladder = replace(
        work.plan.ladder,
        rungs=(a_rung("low", width=64, height=36), a_rung("middle", width=96, height=54), work.plan.ladder.rungs[0]),
        fast_start=("low",),
    )
    work.plan = replace(work.plan, ladder=ladder)

    outcome = encode(work.context(JobKind.ENCODE, chunk=0, rungs=["middle", "low"]))

    assert [output.rendition for output in outcome.outputs] == ["middle", "low"]
    assert len({output.fingerprint for output in outcome.outputs}) == 2


def test_audio_is_stored_as_audio(work: Worktable) -> None:
    outcome = audio(work.context(JobKind.AUDIO, rendition="audio-en", piece=0))
    (output,) = outcome.outputs
    name = output.segments[0].name
    key = rendition_key(work.context(JobKind.AUDIO).asset.id, "audio-en", name)
    assert work.blobs.head(key).content_type == "audio/mp4"
    assert (output.codecs, output.timescale) == ("mp4a.40.2", 48_000)


def test_sound_that_cannot_be_decoded_is_silence(work: Worktable) -> None:
    data = bytearray(work.path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    work.path.write_bytes(data)

    heard = samples_heard(work.stored(audio(work.context(JobKind.AUDIO, rendition="audio-en", piece=0))))

    assert len(heard) == work.plan.audio_pieces[0].frames.stop * 1024
    assert max(map(abs, heard)) < 0.001


def test_untagged_small_pictures_are_tagged_as_players_take_them(work: Worktable) -> None:
    data = work.stored(encode(work.context(JobKind.ENCODE, chunk=0, rungs=["96p"])))
    with av.open(io.BytesIO(data)) as film:
        picture = next(film.decode(video=0))
    bt601, studio_range = 6, 1
    assert (picture.colorspace, picture.color_primaries, picture.color_trc) == (bt601, bt601, bt601)
    assert picture.color_range == studio_range


def test_a_poster_and_a_storyboard(work: Worktable) -> None:
    outcome = thumbnails(work.context(JobKind.THUMBNAILS))

    poster, tile = outcome.names
    asset = work.context(JobKind.THUMBNAILS).asset.id
    assert (poster.name, poster.content_type, poster.immutable) == ("poster.jpg", "image/jpeg", False)
    assert Image.open(io.BytesIO(work.blobs.get(poster.key))).size == (160, 96)
    assert tile.key == asset_key(asset, tile.name)
    assert Image.open(io.BytesIO(work.blobs.get(tile.key))).size == (1600, 960)
    assert outcome.storyboard == {
        "tiles": [tile.name],
        "columns": 10,
        "rows": 10,
        "interval": "2/1",
        "tile_width": 160,
        "tile_height": 96,
        "count": 2,
    }


def test_thumbnails_show_the_film_near_their_time(work: Worktable) -> None:
    outcome = thumbnails(work.context(JobKind.THUMBNAILS))

    sprite = Image.open(io.BytesIO(work.blobs.get(outcome.names[1].key))).convert("L")
    shown = [_number(sprite.crop((160 * column, 0, 160 * (column + 1), 96))) for column in range(3)]
    assert abs(shown[0] - 0) <= 25
    assert abs(shown[1] - 50) <= 25
    assert shown[2] == 0  # beyond the last one the sprite is black


def _number(thumbnail: Image.Image) -> int:
    levels = [thumbnail.getpixel((10 * column + 5, 48)) for column in range(16)]
    return sum((level > 128) << bit for level, bit in zip(levels, reversed(range(16)), strict=True))
