"""Identifiers are random, of one alphabet, and fit into keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage.ids import new_asset_id, new_job_id, new_upload_id, new_video_id
from storage.keys import checked

_MAKERS = (new_video_id, new_upload_id, new_asset_id, new_job_id)


@pytest.mark.parametrize("make", _MAKERS)
def test_ids_do_not_repeat_and_fit_into_keys(make: Callable[[], str]) -> None:
    made = {make() for _ in range(1000)}
    assert len(made) == 1000
    assert all(checked(each) == each for each in made)


@pytest.mark.parametrize("make", _MAKERS)
def test_ids_have_no_letters_that_look_like_digits(make: Callable[[], str]) -> None:
    letters = set("".join(make().removeprefix("a-") for _ in range(1000)))
    assert letters == set("0123456789abcdefghjkmnpqrstvwxyz")


def test_an_upload_id_is_too_long_to_guess_and_no_video_id() -> None:
    assert len(new_upload_id()) == 2 * len(new_video_id())


def test_assets_have_a_prefix_of_their_own() -> None:
    assert new_asset_id().startswith("a-")
    assert "-" not in new_video_id()
