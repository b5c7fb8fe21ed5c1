"""Graphics hardware that works, and that fails in every way that drivers do: the film comes out whole each time."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from storage.lifecycle import VideoState
from storage.media.encoders import Encoder, Family, encoder_of
from tests.conformant import assert_conformant
from tests.fake_gpu import SAYINGS, with_fake_gpu
from tests.media import Pictures, make_film, numbers_shown
from tests.pipeline import through_the_pipeline
from workers.ffmpeg.hardware import Failure, why
from workers.ffmpeg.process import Tools, find_tools
from workers.ffmpeg.trials import try_hardware
from workers.planning.policy import ChunkPolicy, LadderPolicy, Policy, RungRule

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

FPS = 24
FRAMES = 10 * FPS


def policy(family: Family) -> Policy:
    return Policy(
        ladder=LadderPolicy(
            rules=tuple(RungRule(short_side=side, crf=28, max_rate_bps=400_000) for side in (48, 96)),
            preset="ultrafast",
            hardware=family,
        ),
        chunks=ChunkPolicy(longest_chunk_s=4),
    )


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    times = [Fraction(number, FPS) for number in range(FRAMES)]
    return make_film(
        tmp_path_factory.mktemp("film") / "film.mp4", Pictures(times=times, size=(320, 192)), container="mp4"
    )


def shown(site: Path, rendition: str) -> list[int]:
    """The numbers of the pictures of a published rendition."""
    names = [line for line in (site / rendition / "media.m3u8").read_text().splitlines() if line.endswith(".m4s")]
    (init,) = (site / rendition).glob("init-*.mp4")
    return numbers_shown(init.read_bytes() + b"".join((site / rendition / name).read_bytes() for name in names))


@pytest.mark.parametrize("family", Family)
def test_larger_rungs_are_made_by_hardware_that_works(family: Family, film: Path, tools: Tools, tmp_path: Path) -> None:
    card = with_fake_gpu(tools, tmp_path / "gpu", family=family)
    video, asset = through_the_pipeline(film, tmp_path, card, policy(family))
    assert (video.state, video.reason) == (VideoState.READY, None)
    made = {
        row.name: (row.rung.encoder, str(row.fingerprint).partition("/")[0]) for row in asset.renditions if row.rung
    }
    assert asset.plan is not None
    fast = asset.plan.ladder.fast_start
    assert {name: it for name, it in made.items() if name in fast} == dict.fromkeys(fast, (Encoder.X264, "libx264"))
    others = [name for name in made if name not in fast]
    assert others
    assert {made[name] for name in others} == {(encoder_of(family), str(encoder_of(family)))}
    for name in made:
        assert shown(tmp_path / "site", name) == list(range(FRAMES))
    assert_conformant(tmp_path / "site")


@pytest.mark.parametrize(
    ("family", "failure", "when"),
    [
        (Family.NVENC, "session_limit", "at once"),
        (Family.NVENC, "unknown", "at once"),
        (Family.NVENC, "device_lost", "later"),
        (Family.VAAPI, "no_device", "at once"),
        (Family.VAAPI, "out_of_memory", "later"),
        (Family.QSV, "not_supported", "at once"),
        (Family.QSV, "device_lost", "later"),
    ],
)
def test_hardware_that_fails_gives_its_renditions_to_the_cpu(
    family: Family, failure: str, when: str, film: Path, tools: Tools, tmp_path: Path
) -> None:
    mode = failure if when == "at once" else f"{failure}@later"
    card = with_fake_gpu(tools, tmp_path / "gpu", mode, family)
    video, asset = through_the_pipeline(film, tmp_path, card, policy(family))
    assert (video.state, video.reason) == (VideoState.READY, None)
    made = {row.name: row for row in asset.renditions}
    assert {row.rung.encoder for row in made.values() if row.rung} == {Encoder.X264}
    moved = [name for name in made if name.endswith("-cpu")]
    assert moved
    assert [len(made[name].segments) for name in made] == [3] * len(made)
    for name in made:
        assert shown(tmp_path / "site", name) == list(range(FRAMES))
    assert_conformant(tmp_path / "site")


@pytest.mark.parametrize(("family", "failure"), [(family, name) for family in Family for name in SAYINGS[family]])
def test_what_drivers_say_is_understood(family: Family, failure: str) -> None:
    assert why(SAYINGS[family][failure]) is Failure(failure)


def test_trials_tell_what_works_and_why_not(tools: Tools, tmp_path: Path) -> None:
    fake = with_fake_gpu(tools, tmp_path / "gpu", "session_limit")
    (tmp_path / "scratch").mkdir()
    found = try_hardware(replace(fake, hardware=None), tmp_path / "scratch")
    assert {trial.family for trial in found.trials} == set(Family)
    nvenc = next(trial for trial in found.trials if trial.family is Family.NVENC)
    assert nvenc.encode is Failure.SESSION_LIMIT
    assert "OpenEncodeSessionEx" in nvenc.encode_said
    assert Family.NVENC not in found.encodes
    works = try_hardware(with_fake_gpu(tools, tmp_path / "gpu", "works"), tmp_path / "scratch")
    assert Family.NVENC in works.encodes
