"""Nobody sees where chunks meet."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.seams import psnr, seams_of
from workers.ffmpeg.process import find_tools
from workers.planning.policy import LadderPolicy, RungRule

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

WORST_LOSS_DB = 1.0
MOVING = "testsrc2=size=320x180:rate=24:duration=18,rotate=t/5:c=none,noise=alls=8:allf=t:all_seed=7"
LADDER = LadderPolicy(rules=(RungRule(short_side=144, crf=23, max_rate_bps=500_000),))


def test_the_gops_around_a_seam_look_as_those_of_one_encode(tmp_path: Path) -> None:
    tools = find_tools()
    film = tmp_path / "film.mp4"
    argv = [str(tools.ffmpeg), "-v", "error", "-f", "lavfi", "-i", MOVING, "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([*argv, "-crf", "12", str(film)], check=True)
    seams = seams_of(film, tools, tmp_path / "work", LADDER)
    print([(float(seam.at), round(seam.loss_db, 2)) for seam in seams])
    assert len(seams) >= 2
    assert all(seam.continuous_db > 20 for seam in seams)
    assert max(seam.loss_db for seam in seams) <= WORST_LOSS_DB


def test_the_mean_of_perfect_pictures_is_finite() -> None:
    assert psnr([0.0, 255.0**2]) == pytest.approx(50.0)
