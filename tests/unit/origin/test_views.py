"""Views of manifests: what is left, and that it is still a manifest."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import m3u8
import pytest

from origin.views import render
from origin.wishes import Edge, Wishes
from packager.compose import compose
from tests.presentations import AVAILABLE_FROM, a_presentation
from tests.unit.origin.conftest import VIDEO, World

COMPOSED = compose(a_presentation(complete=True), published_at=AVAILABLE_FROM)
FILES = {file.name: file.body for file in COMPOSED}
LISTED = {file.name: file.versioned_name for file in COMPOSED}
MULTIVARIANT = FILES["master.m3u8"]
MPD = "{urn:mpeg:dash:schema:mpd:2011}"


def hls(**wishes: object) -> m3u8.M3U8:
    return m3u8.loads(render("master.m3u8", Wishes(**wishes), MULTIVARIANT).decode())  # type: ignore[arg-type]


def dash(**wishes: object) -> ET.Element:
    return ET.fromstring(render("manifest.mpd", Wishes(**wishes), FILES["manifest.mpd"]))  # type: ignore[arg-type]


def dash_heights(mpd: ET.Element) -> list[int]:
    """Of what plays, not of what is looked through while seeking."""
    sets = [one for one in mpd.iter(f"{MPD}AdaptationSet") if one.find(f"{MPD}EssentialProperty") is None]
    return [
        int(one.get("height", "0")) for each in sets for one in each.findall(f"{MPD}Representation") if one.get("sar")
    ]


def heights(playlist: m3u8.M3U8) -> list[int]:
    return [variant.stream_info.resolution[1] for variant in playlist.playlists]


@pytest.mark.parametrize(("most", "left"), [(1080, [360, 1080]), (720, [360]), (360, [360]), (100, [360])])
def test_a_limit_of_the_resolution_leaves_what_is_below_or_the_smallest(most: int, left: list[int]) -> None:
    assert heights(hls(max_height=most)) == left
    iframes = hls(max_height=most).iframe_playlists
    assert [one.iframe_stream_info.resolution[1] for one in iframes] == left
    assert dash_heights(dash(max_height=most)) == left


def test_a_codec_that_nothing_has_leaves_all() -> None:
    assert heights(hls(codecs=("avc1",))) == heights(hls(codecs=("av01",))) == [360, 1080]


def test_a_codec_leaves_what_has_it_and_the_sound() -> None:
    some = re.sub(rb"(x1080,[^\n]*CODECS=\")avc1", rb"\1hvc1", MULTIVARIANT)
    some = re.sub(rb"(CODECS=\")avc1([^\n]*x1080)", rb"\1hvc1\2", some)
    for codecs, left in ((("avc1",), [360]), (("hvc1",), [1080]), (("avc1", "hvc1"), [360, 1080])):
        playlist = m3u8.loads(render("master.m3u8", Wishes(codecs=codecs), some).decode())
        assert heights(playlist) == left
        assert [one.type for one in playlist.media] == [one.type for one in hls().media]
    mpd = FILES["manifest.mpd"]
    at = mpd.index(b'height="1080"')
    start = mpd.rindex(b"<Representation", 0, at)
    mixed = mpd[:start] + mpd[start:].replace(b'codecs="avc1', b'codecs="hvc1', 1)
    for codecs, left in ((("avc1",), [360]), (("hvc1",), [1080])):
        root = ET.fromstring(render("manifest.mpd", Wishes(codecs=codecs), mixed))
        assert dash_heights(root) == left
        assert all(one.findall(f"{MPD}Representation") for one in root.iter(f"{MPD}AdaptationSet"))


def test_the_wanted_language_is_the_main_one_in_dash() -> None:
    sets = [one for one in dash(language="en").iter(f"{MPD}AdaptationSet") if one.get("contentType") == "audio"]
    roles = {one.get("lang"): [role.get("value") for role in one.iter(f"{MPD}Role")] for one in sets}
    assert roles["en"] == ["main"]


def test_the_wanted_language_plays_first() -> None:
    two = MULTIVARIANT.replace(
        b"#EXT-X-STREAM-INF",
        b'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Deutsch",LANGUAGE="de-AT",DEFAULT=NO,AUTOSELECT=YES,'
        b'URI="audio-de/media.m3u8"\n#EXT-X-STREAM-INF',
        1,
    )
    for language, first in (("de", "de-AT"), ("en", "en"), ("fr", "en")):
        playlist = m3u8.loads(render("master.m3u8", Wishes(language=language), two).decode())
        assert [one.language for one in playlist.media if one.default == "YES"] == [first]


def test_a_start_is_told_once() -> None:
    text = render("master.m3u8", Wishes(start_ms=30_500), MULTIVARIANT).decode()
    assert text.count("#EXT-X-START:TIME-OFFSET=30.500,PRECISE=YES\n") == 1


def test_a_token_goes_on_to_everything_that_hls_names() -> None:
    for name in ("master.m3u8", "360p/media.m3u8", "360p/iframes.m3u8"):
        text = render(name, Wishes(carries_token=True), FILES[name]).decode()
        assert text.splitlines()[1:3] == ["#EXT-X-VERSION:11", '#EXT-X-DEFINE:QUERYPARAM="token"']
        named = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert named
        assert all(line.endswith("?token={$token}") for line in named)
        assert all(
            line.partition('URI="')[2].partition('"')[0].endswith("?token={$token}")
            for line in text.splitlines()
            if "URI=" in line
        )


def test_a_token_goes_on_to_everything_that_dash_names() -> None:
    sets = list(dash(carries_token=True).iter(f"{MPD}AdaptationSet"))
    assert sets
    for each in sets:
        (said,) = [one for one in each.findall(f"{MPD}EssentialProperty") if "urlparam" in one.get("schemeIdUri", "")]
        (info,) = said
        assert (info.get("queryTemplate"), info.get("useMPDUrlQuery")) == ("$querypart$", "true")


def test_every_edge_has_all_variants_and_groups_of_its_own() -> None:
    edges = (Edge("a", "https://a.example/v/x"), Edge("b", "https://b.example/v/x"))
    text = render("master.m3u8", Wishes(edges=edges), MULTIVARIANT).decode()
    playlist = m3u8.loads(text)
    assert 'SERVER-URI="/steering.json",PATHWAY-ID="a"' in text
    for edge in edges:
        group = [media for media in playlist.media if media.group_id == f"audio-{edge.name}"]
        assert [media.uri for media in group] == [f"{edge.folder}/{LISTED['audio-en/media.m3u8']}"]
        own = [variant for variant in playlist.playlists if variant.stream_info.pathway_id == edge.name]
        assert [variant.uri for variant in own] == [
            f"{edge.folder}/{LISTED[f'{each}/media.m3u8']}" for each in ("360p", "1080p")
        ]
        assert {variant.stream_info.audio for variant in own} == {f"audio-{edge.name}"}


@pytest.mark.anyio
async def test_a_view_is_made_without_the_store_and_of_its_own_tag(world: World) -> None:
    key = world.publish("master.m3u8", MULTIVARIANT)
    async with world.client() as client:
        tags = set()
        for query in ("", "?max_height=720", "?max_height=720&CMCD=sid%3D%22x%22", "?start=5", "?token=x"):
            got = await client.get(f"/v/{VIDEO}/master.m3u8{query}")
            assert got.status_code == 200
            tags.add(got.headers["etag"])
        assert len(tags) == 4
        assert world.blobs.reads[key] == 1
        for query in ("max_height=big", "max_height=0", "codec=%0a", "language=%22", "start=nan", "start=1e99"):
            refused = await client.get(f"/v/{VIDEO}/master.m3u8?{query}")
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request"), query
