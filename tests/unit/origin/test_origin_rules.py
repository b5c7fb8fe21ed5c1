"""The origin's pure rules: ranges, statuses, encodings, paths, and the cache."""

from __future__ import annotations

import pytest

from origin.access import parse_target
from origin.cache import ByteCache
from origin.metrics import OriginMetrics
from origin.policy import Kind, accepted_codings, cache_control
from origin.problems import STATUS, status_of
from origin.ranges import ByteRange, resolve_range
from packager.compose import compose
from storage.errors import FishladderError, NotFound
from tests.errors import errors_of
from tests.presentations import AVAILABLE_FROM, a_presentation


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-", [(0, 100)]),
        ("bytes=90-200", [(90, 100)]),
        ("bytes=-1", [(99, 100)]),
        ("bytes=-500", [(0, 100)]),
        ("BYTES = 5-9", [(5, 10)]),
        ("bytes=0-9, 20-29", [(0, 10), (20, 30)]),
        ("bytes=20-29,0-9", [(20, 30), (0, 10)]),
        ("bytes=,0-9, ,20-29,", [(0, 10), (20, 30)]),
        ("bytes=0-9,10-19", [(0, 20)]),
        ("bytes=5-9,0-50,40-60", [(0, 61)]),
        ("bytes=0-9,200-", [(0, 10)]),
        ("bytes=100-", []),
        ("bytes=-0", []),
        ("items=0-9", None),
        ("bytes=9-5", None),
        ("bytes=0-9,x", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes", None),
        ("bytes=0-9-10", None),
        ("bytes=+1-5", None),
        ("bytes=٠-٩", None),  # digits, but not ASCII's
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(0, 80, 2)), None),  # too many
        ("bytes=0-" + "9" * 5000, None),
    ],
)
def test_a_range_header_says_which_bytes(header: str | None, expected: list[tuple[int, int]] | None) -> None:
    ranges = resolve_range(header, 100)
    assert ranges == (None if expected is None else tuple(ByteRange(*pair) for pair in expected))


def test_an_empty_object_has_no_range() -> None:
    assert resolve_range("bytes=0-", 0) == ()
    assert resolve_range("bytes=-1", 0) == ()


def test_every_error_has_a_status_of_its_family() -> None:
    for kind in errors_of("storage", "origin"):
        if kind is FishladderError:
            continue
        nearest = next(ancestor for ancestor in kind.__mro__ if ancestor in STATUS)
        assert nearest is not FishladderError, f"{kind.__name__} is of no family that has a status"
        assert 400 <= status_of(kind()) < 600


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, set()),
        ("", set()),
        ("gzip", {"gzip"}),
        ("x-gzip", {"gzip"}),
        ("gzip, deflate, br, zstd", {"gzip", "br", "zstd"}),
        ("br, GZIP;q=0.1", {"br"}),
        ("gzip;q=1.0, zstd;q=0.5", {"gzip"}),
        ("*", {"gzip", "br", "zstd"}),
        ("*;q=0", set()),
        ("gzip;q=0, *", {"br", "zstd"}),
        ("identity", set()),
        ("identity, gzip;q=0.5", set()),
        ("identity;q=0.5, gzip", {"gzip"}),
        ("gzip;q=nonsense", set()),
    ],
)
def test_text_is_compressed_as_who_asks_likes_it_best(header: str | None, accepted: set[str]) -> None:
    assert accepted_codings(header) == accepted


def test_a_dash_manifest_without_a_type_is_finished() -> None:
    assert cache_control(Kind.MANIFEST, immutable=False, body=b"<MPD xmlns='x'/>") == cache_control(
        Kind.MANIFEST, immutable=False, body=b"<MPD type='static'/>"
    )


@pytest.mark.parametrize("complete", [False, True])
def test_our_own_manifests_are_held_back_only_when_they_are_finished(complete: bool) -> None:
    presentation = a_presentation(complete=complete)
    files = [
        file for file in compose(presentation, published_at=AVAILABLE_FROM) if file.name.endswith((".m3u8", ".mpd"))
    ]
    assert len(files) > 3
    for file in files:
        header = cache_control(parse_target(f"/v/0abc/{file.name}").kind, immutable=False, body=file.body)
        (max_age_s,) = (
            int(part.removeprefix("max-age=")) for part in header.split(", ") if part.startswith("max-age=")
        )
        # Pictures for scrubbing may be complete before the film is.
        if file.name != "master.m3u8" and (complete or b"#EXT-X-ENDLIST" in file.body):
            assert max_age_s == 60, file.name
        else:
            assert max_age_s <= presentation.target_duration_s / 2, file.name


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v/0abc/master.m3u8", Kind.MANIFEST),
        ("/v/0abc/720p/media.m3u8", Kind.MANIFEST),
        ("/v/0abc/manifest.mpd", Kind.MANIFEST),
        ("/v/0abc/720p/0-0123456789ab.m4s", Kind.SEGMENT),
        ("/v/0abc/720p/init-0123456789ab.mp4", Kind.INIT),
        ("/v/0abc/storyboard/0-0123456789ab.jpg", Kind.TILE),
        ("/v/0abc/poster.jpg", Kind.PICTURE),
        ("/v/0abc/720p/0-0123.m4s", Kind.PICTURE),  # no hash: only a name that was published, if any
    ],
)
def test_a_path_names_a_kind(path: str, kind: Kind) -> None:
    assert parse_target(path).kind is kind


@pytest.mark.parametrize(
    "path", ["/v", "/v/", "/v//master.m3u8", "/v/-a/master.m3u8", "/w/0abc/master.m3u8", "v/0/x.jpg"]
)
def test_a_path_of_another_shape_names_nothing(path: str) -> None:
    with pytest.raises(NotFound):
        parse_target(path)


def test_the_cache_never_holds_more_than_it_may() -> None:
    cache: ByteCache[int] = ByteCache(100)
    for number in range(50):
        cache.put(str(number), number, 1 + number % 40)
        cache.get(str(number // 2))
        assert cache.held_bytes <= 100
    cache.put("huge", 0, 101)
    assert cache.get("huge") is None


def test_a_scan_does_not_wash_out_what_is_hot() -> None:
    cache: ByteCache[str] = ByteCache(1000)
    for key in ("hot-1", "hot-2"):
        cache.put(key, key, 100)
        assert cache.get(key) == key
    for number in range(100):
        cache.put(f"cold-{number}", "", 100)
    assert [cache.get(key) for key in ("hot-1", "hot-2")] == ["hot-1", "hot-2"]
    assert cache.evictions == 92


def test_what_is_no_longer_hot_makes_room() -> None:
    cache: ByteCache[str] = ByteCache(1000)
    for number in range(20):
        cache.put(str(number), "", 100)
        cache.get(str(number))
    assert cache.get("0") is None
    assert cache.get("19") == ""


def test_putting_again_counts_once() -> None:
    cache: ByteCache[str] = ByteCache(1000)
    for _ in range(30):
        cache.put("key", "value", 100)
        cache.get("key")
    assert (len(cache), cache.held_bytes) == (1, 100)


def test_files_of_subtitles_are_objects_of_the_asset_that_are_kept_for_good() -> None:
    for name in ("text-en/0-0123456789ab.vtt", "text-en-cc/whole-0123456789ab.vtt"):
        target = parse_target(f"/v/abc/{name}")
        assert (target.kind, target.in_asset) == (Kind.SUBTITLES, True)
        assert "immutable" in cache_control(target.kind, immutable=False, body=b"")
    assert parse_target("/v/abc/storyboard.vtt").kind is Kind.PICTURE


def test_every_kind_of_answer_is_counted() -> None:
    metrics = OriginMetrics()
    for kind in Kind:
        metrics.count_answer(kind, 200, 0.001, 10)
    told = metrics.render()[1].decode()
    lines = [f'fishladder_origin_requests_total{{kind="{kind}",status="200"}} 1.0' for kind in Kind]
    assert [line for line in lines if line not in told] == []
