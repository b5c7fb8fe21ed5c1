from __future__ import annotations

import pytest

from storage.media.languages import language_name, normalise_language


@pytest.mark.parametrize(
    ("said", "tag"),
    [
        ("eng", "en"), ("ger", "de"), ("deu", "de"), ("EN", "en"), ("pt_BR", "pt-br"), ("por-BR", "pt-br"),
        ("tlh", "tlh"), ("und", "und"), ("mis", "und"), ("", "und"), (None, "und"), ("../../etc", "und"), ("e", "und"),
    ],
)  # fmt: skip
def test_languages_become_their_shortest_tag(said: str | None, tag: str) -> None:
    assert normalise_language(said) == tag


def test_a_language_has_a_name_for_people() -> None:
    assert [language_name(tag) for tag in ("de", "pt-br", "tlh", "und")] == ["German", "Portuguese", "tlh", "Audio"]
