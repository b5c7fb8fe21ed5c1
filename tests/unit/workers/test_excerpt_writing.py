"""An excerpt is what was copied to it, or none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.media import Sound, make_film
from workers.ffmpeg.excerpting.writing import Excerpt, Unfit


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make_film(tmp_path / "film.mkv", None, Sound(seconds=Fraction(2)), container="matroska")


def written(film: Path, to: Path, packets: slice) -> Excerpt:
    with av.open(str(film)) as source:
        (stream,) = source.streams
        with Excerpt(stream, "matroska", to) as excerpt:
            for packet in [each for each in source.demux() if each.size][packets]:
                excerpt.add(packet)
    return excerpt


def test_what_reads_back_as_it_was_copied_is_believed(film: Path, tmp_path: Path) -> None:
    written(film, tmp_path / "excerpt", slice(None)).check()


def test_what_reads_back_as_something_else_is_not(film: Path, tmp_path: Path) -> None:
    excerpt = written(film, tmp_path / "excerpt", slice(None))
    written(film, tmp_path / "other", slice(10, None))
    (tmp_path / "other").replace(tmp_path / "excerpt")
    with pytest.raises(Unfit):
        excerpt.check()
