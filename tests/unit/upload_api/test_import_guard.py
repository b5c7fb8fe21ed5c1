from __future__ import annotations

import ipaddress

import pytest

from upload_api.errors import ImportRefused
from upload_api.imports.fetching import read_opening
from upload_api.imports.guard import check_addresses, check_literal, follow, parse_networks, parse_target
from upload_api.imports.importer import ImportPolicy, pause_s


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://example.org/a/film.mp4?x=1#t", "example.org", "/a/film.mp4?x=1"),
        ("http://example.org:8080", "example.org:8080", "/"),
        ("https://[2606:4700::1]/f", "[2606:4700::1]", "/f"),
        ("HTTP://EXAMPLE.org:80/%20", "example.org", "/%20"),
    ],
)
def test_an_address_is_taken_apart(url: str, authority: str, path: str) -> None:
    target = parse_target(url)
    assert (target.authority, target.path) == (authority, path)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://example.org/film.mp4", "import_address"),
        ("file:///etc/passwd", "import_address"),
        ("gopher://example.org/", "import_address"),
        ("example.org/film.mp4", "import_address"),
        ("http:///film.mp4", "import_address"),
        ("http://user:secret@example.org/", "import_address"),
        ("http://example.org@127.0.0.1/", "import_address"),
        ("http://example.org\\@127.0.0.1/", "import_address"),
        ("http://exa mple.org/", "import_address"),
        ("http://example.org/\r\nHost: x", "import_address"),
        ("http://example.org:99999/", "import_address"),
        ("http://example.org:x/", "import_address"),
        ("http://exämple.org/", "import_address"),
        ("http://example.org/" + "x" * 5000, "import_address"),
        ("http://example.org:25/", "import_forbidden"),
        ("http://example.org:22/", "import_forbidden"),
    ],
)
def test_what_is_no_address_of_a_file_is_refused(url: str, code: str) -> None:
    with pytest.raises(ImportRefused) as refused:
        parse_target(url)
    assert refused.value.reason_code == code


PRIVATE = [
    "127.0.0.1", "127.8.9.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "255.255.255.255", "224.0.0.1", "198.18.0.1", "192.0.2.1", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1",
    "fd00:ec2::254", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "fec0::1", "192.88.99.1", "3fff::1", "5f00::1", "::ffff:0:127.0.0.1", "2002:c058:6301::", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_no_import_from_an_address_that_is_not_public(address: str) -> None:
    with pytest.raises(ImportRefused) as refused:
        check_addresses((ipaddress.ip_address(address),), ())
    assert refused.value.reason_code == "import_forbidden"


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"])
def test_public_addresses_are_reached(address: str) -> None:
    check_addresses((ipaddress.ip_address(address),), ())


def test_one_private_address_spoils_a_name() -> None:
    both = (ipaddress.ip_address("93.184.216.34"), ipaddress.ip_address("10.0.0.1"))
    with pytest.raises(ImportRefused):
        check_addresses(both, ())
    with pytest.raises(ImportRefused):
        check_addresses((), ())


def test_the_operator_opens_networks() -> None:
    allowed = parse_networks(("10.1.0.0/16",))
    check_addresses((ipaddress.ip_address("10.1.2.3"),), allowed)
    check_addresses((ipaddress.ip_address("::ffff:10.1.2.3"),), allowed)
    with pytest.raises(ImportRefused):
        check_addresses((ipaddress.ip_address("10.2.0.1"),), allowed)


def test_a_literal_address_is_refused_at_once_and_a_name_later() -> None:
    with pytest.raises(ImportRefused):
        check_literal(parse_target("http://[::1]:8080/"), ())
    check_literal(parse_target("http://localhost/"), ())


@pytest.mark.parametrize(
    ("location", "leads"),
    [("/b", "https://example.org/b"), ("b", "https://example.org/a/b"), ("//other.test/x", "https://other.test/x")],
)
def test_a_redirect_is_followed_from_where_it_stands(location: str, leads: str) -> None:
    assert follow(parse_target("https://example.org/a/film"), location).url == leads


@pytest.mark.parametrize("location", ["http://example.org/", "file:///etc/passwd", "https://a:b@example.org/"])
def test_a_redirect_is_judged_like_the_first_address(location: str) -> None:
    with pytest.raises(ImportRefused):
        follow(parse_target("https://example.org/film"), location)


TARGET = parse_target("https://example.org/film.mp4")


@pytest.mark.parametrize(
    ("status", "fields", "start", "opening"),
    [
        (200, {"content-length": "9"}, 0, (0, 9)),
        (200, {}, 0, (0, None)),
        (200, {"content-length": "9"}, 5, (0, 9)),
        (206, {"content-range": "bytes 5-8/9"}, 5, (5, 9)),
        (416, {"content-range": "bytes */5"}, 5, (5, 5)),
    ],
    ids=["whole", "of unknown length", "knows no ranges", "the rest", "nothing left"],
)
def test_answers_are_read(status: int, fields: dict[str, str], start: int, opening: tuple[int, int | None]) -> None:
    read = read_opening(TARGET, status, fields, start=start)
    assert (read.start, read.length_bytes) == opening


@pytest.mark.parametrize(
    ("status", "fields", "code"),
    [
        (401, {}, "import_denied"),
        (404, {}, "import_missing"),
        (304, {}, "import_answer"),
        (204, {}, "import_answer"),
        (200, {"content-encoding": "gzip"}, "import_answer"),
        (206, {"content-range": "bytes 4-8/9"}, "import_answer"),
        (206, {"content-range": "bytes 5-7/9"}, "import_answer"),
        (206, {"content-range": "bytes 5-7/*"}, "import_answer"),
        (416, {"content-range": "bytes */4"}, "import_answer"),
    ],
)
def test_answers_that_are_no_file_are_refused(status: int, fields: dict[str, str], code: str) -> None:
    with pytest.raises(ImportRefused) as refused:
        read_opening(TARGET, status, fields, start=5)
    assert refused.value.reason_code == code


@pytest.mark.parametrize(
    ("fields", "validator"),
    [
        ({"etag": '"abc"', "last-modified": "then"}, '"abc"'),
        ({"etag": 'W/"abc"', "last-modified": "then"}, "then"),
        ({}, None),
    ],
)
def test_only_what_is_good_for_ranges_tells_files_apart(fields: dict[str, str], validator: str | None) -> None:
    assert read_opening(TARGET, 200, fields, start=0).validator == validator


def test_pauses_grow_but_not_for_ever() -> None:
    policy = ImportPolicy(at_once=1, poll_s=1, first_pause_s=1, max_age_ms=1)
    assert [pause_s(tries, policy, None) for tries in (0, 1, 5, 99)] == [1, 2, 32, 300]
    assert pause_s(0, policy, 17) == 17
    assert pause_s(0, policy, 9999) == 300
