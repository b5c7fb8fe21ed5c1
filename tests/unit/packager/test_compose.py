"""All manifests together: their names, types and order, and the storyboard."""

from __future__ import annotations

import hashlib
from fractions import Fraction

from packager.compose import compose
from packager.storyboard import render_storyboard
from tests.presentations import PUBLISHED_AT, a_presentation, a_storyboard


def test_what_players_open_comes_last() -> None:
    names = [file.name for file in compose(a_presentation(), published_at=PUBLISHED_AT)]
    assert names == [
        "360p/media.m3u8",
        "1080p/media.m3u8",
        "audio-en/media.m3u8",
        "360p/iframes.m3u8",
        "1080p/iframes.m3u8",
        "storyboard.m3u8",
        "storyboard.vtt",
        "master.m3u8",
        "manifest.mpd",
    ]


def test_a_finished_film_is_listed_by_names_that_no_other_text_has() -> None:
    files = compose(a_presentation(), published_at=PUBLISHED_AT)
    (master,) = [file.body.decode() for file in files if file.name == "master.m3u8"]
    playlists = [file for file in files if file.name.endswith(".m3u8") and file.name != "master.m3u8"]
    assert len(playlists) == 6
    for playlist in playlists:
        assert playlist.listed_by_version
        stem = playlist.name.removesuffix(".m3u8")
        assert playlist.versioned_name == f"{stem}-{hashlib.sha256(playlist.body).hexdigest()[:12]}.m3u8"
        assert playlist.versioned_name in master
        assert playlist.name not in master


def test_a_film_that_grows_is_listed_by_names_that_players_ask_for_again() -> None:
    files = compose(a_presentation(complete=False), published_at=PUBLISHED_AT)
    (master,) = [file.body.decode() for file in files if file.name == "master.m3u8"]
    assert "\n360p/media.m3u8\n" in master
    assert not any(file.listed_by_version for file in files)


def test_every_manifest_has_its_media_type() -> None:
    types = {
        file.name.rpartition(".")[2]: file.content_type for file in compose(a_presentation(), published_at=PUBLISHED_AT)
    }
    assert types == {
        "m3u8": "application/vnd.apple.mpegurl",
        "mpd": "application/dash+xml",
        "vtt": "text/vtt; charset=utf-8",
    }


def test_the_same_presentation_gives_the_same_bytes() -> None:
    assert compose(a_presentation(), published_at=PUBLISHED_AT) == compose(a_presentation(), published_at=PUBLISHED_AT)


def test_without_a_storyboard_there_is_no_file_for_it() -> None:
    names = {file.name for file in compose(a_presentation(storyboard=None), published_at=PUBLISHED_AT)}
    assert not {"storyboard.vtt", "storyboard.m3u8"} & names
    (master,) = [
        file
        for file in compose(a_presentation(storyboard=None), published_at=PUBLISHED_AT)
        if file.name == "master.m3u8"
    ]
    assert b"IMAGE" not in master.body


def test_the_last_thumbnail_is_shown_to_the_films_end() -> None:
    text = render_storyboard(a_storyboard(), duration=Fraction(52, 5))
    assert text.splitlines()[-2:] == [
        "00:00:08.000 --> 00:00:10.400",
        "storyboard/1-aabbccddeeff.jpg#xywh=0,0,160,90",
    ]


def test_thumbnails_beyond_the_films_end_are_not_listed() -> None:
    assert render_storyboard(a_storyboard(), duration=Fraction(4)).count("-->") == 1


def test_hours_are_counted() -> None:
    tiles = tuple(f"{number}-aabbccddeeff.jpg" for number in range(2))
    storyboard = a_storyboard(tiles=tiles, interval=Fraction(3661, 1), count=2, columns=1)
    text = render_storyboard(storyboard, duration=Fraction(40_000))
    assert "01:01:01.000 --> 02:02:02.000\nstoryboard/1-aabbccddeeff.jpg" in text


def test_the_image_playlist_names_every_sprite_with_its_grid_and_ends_with_the_film() -> None:
    (file,) = [file for file in compose(a_presentation(), published_at=PUBLISHED_AT) if file.name == "storyboard.m3u8"]
    assert (
        file.body.decode()
        == """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:8
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-IMAGES-ONLY
#EXTINF:8.000000,
#EXT-X-TILES:RESOLUTION=160x90,LAYOUT=2x1,DURATION=4.000
storyboard/0-aabbccddeeff.jpg
#EXTINF:2.400000,
#EXT-X-TILES:RESOLUTION=160x90,LAYOUT=2x1,DURATION=4.000
storyboard/1-aabbccddeeff.jpg
#EXT-X-ENDLIST
"""
    )
