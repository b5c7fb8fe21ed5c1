"""Manifests of a film that grows: made from what was there before they are what they would be made at once."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from packager.compose import compose, compose_more
from packager.encryption import Protection
from packager.presentation import Presentation
from packager.rendition_lines import RenditionLines
from storage.media.encryption import Encryption
from tests.presentations import (
    PUBLISHED_AT,
    a_large_rendition,
    a_presentation,
    a_sound_rendition,
    a_video_rendition,
    audio_segments,
    video_segments,
)
from tests.published_files import content_keys

FULL = 12


def grown_to(count: int, *, fast_start: bool, encryption: Encryption) -> Presentation:
    video = video_segments(FULL)
    low = a_video_rendition(segments=video[:count])
    high = a_large_rendition(segments=video_segments(FULL, rate_kbps=4_000)[:count])
    keys = tuple(key.facts for key in content_keys())
    return a_presentation(
        video=(low,) if fast_start else (low, high),
        audio=(a_sound_rendition(segments=audio_segments(video)[:count]),),
        complete=count == FULL,
        protection=Protection(encryption=encryption, keys=keys) if encryption is not Encryption.NONE else None,
    )


@given(st.lists(st.integers(1, FULL), min_size=1, max_size=6), st.data(), st.sampled_from(list(Encryption)))
def test_what_is_composed_on_is_what_is_composed_at_once(
    counts: list[int], data: st.DataObject, encryption: Encryption
) -> None:
    """Whatever grows, comes later, or is asked for out of order."""
    lines: dict[str, RenditionLines] = {}
    for count in counts:
        presentation = grown_to(count, fast_start=data.draw(st.booleans()), encryption=encryption)
        composed = compose_more(presentation, published_at=PUBLISHED_AT, before=lines)
        assert composed.files == compose(presentation, published_at=PUBLISHED_AT)
        lines = dict(composed.lines)


def test_lines_of_another_film_are_not_believed() -> None:
    film = a_presentation()
    other = replace(film, video=tuple(replace(one, segments=video_segments(5, rate_kbps=9)) for one in film.video))
    before = compose_more(other, published_at=PUBLISHED_AT).lines
    assert compose_more(film, published_at=PUBLISHED_AT, before=before).files == compose(
        film, published_at=PUBLISHED_AT
    )
