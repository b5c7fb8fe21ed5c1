"""Is a published folder in order, by our own rules and by parsers that are not ours?"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import m3u8
import pytest
from lxml import etree

from infra.cli.libraries import FolderLibrary
from packager.conformance import Report, Severity, Subject, judge, read_subject
from tests.shared import shared_folder

DASH = {"d": "urn:mpeg:dash:schema:mpd:2011"}


@cache
def mpd_schema() -> etree.XMLSchema:
    """MPEG's schema of MPDs, from the shared folder; skips the test where that is not there."""
    shared = shared_folder()
    if shared is None:
        pytest.skip("MPEG's DASH-MPD.xsd is in the shared folder, which is not beside this checkout")
    return etree.XMLSchema(etree.parse(shared / "conformance" / "DASH-MPD.xsd"))


def examined(folder: Path) -> tuple[Subject, Report]:
    library = FolderLibrary(folder)
    subject = read_subject(library.entries(), library)
    return subject, judge(subject)


def assert_conformant(folder: Path) -> Report:
    """No must is broken, the MPD is valid by MPEG's schema where that is at hand, and others read the same facts."""
    subject, report = examined(folder)
    broken = [f"{one.rule.id} at {one.where}: {one.detail}" for one in report.of(Severity.MUST)]
    assert broken == []
    assert subject.multivariants
    assert subject.mpds
    if shared_folder() is not None:
        mpd_schema().assertValid(etree.parse(folder / "manifest.mpd"))
    assert_read_alike(subject, folder)
    return report


def assert_read_alike(subject: Subject, folder: Path) -> None:
    """`m3u8` and `lxml` find the segments and durations that we find."""
    for url, playlist in subject.playlists.items():
        theirs = m3u8.load(unquote(urlsplit(url).path))
        assert [segment.uri for segment in theirs.segments] == [piece.uri for piece in playlist.pieces]
        assert theirs.target_duration == playlist.target_seconds
        for mine, other in zip(playlist.pieces, theirs.segments, strict=True):
            assert abs(Fraction(other.duration) - (mine.seconds or 0)) < Fraction(1, 1_000_000)
            if mine.span is not None:
                assert other.byterange == f"{mine.span[1] - mine.span[0]}@{mine.span[0]}"
    opened = m3u8.load(str(folder / "master.m3u8"))
    (multivariant,) = subject.multivariants
    assert [one.uri for one in opened.playlists] == [
        (each.url or "").rpartition(f"{folder.resolve().name}/")[2] for each in multivariant.variants
    ]
    tree = etree.parse(folder / "manifest.mpd")
    (mpd,) = subject.mpds
    named = [str(each.get("media")) for each in tree.iterfind(".//d:SegmentURL", DASH)]
    assert named == [
        reference.url.rpartition("/")[2]
        for _, _, representation in mpd.representations()
        if "SegmentList" in representation.addressing
        for reference in representation.references
    ]
