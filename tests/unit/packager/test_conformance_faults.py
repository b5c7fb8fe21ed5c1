"""Planted faults: each is found under its own id, in a film that is otherwise in order."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from packager.cmaf.boxes import box, full_box
from packager.conformance import RULES, Answer, Report, Severity, judge, read_subject
from storage.media.encryption import Encryption
from tests.published_files import BASE, Files, MemoryLibrary, named, published, without_header, without_versions

Plant = Callable[[Files], Any]

MASTER, MPD, LOW, HIGH, SOUND = (
    "master.m3u8",
    "manifest.mpd",
    "low/media.m3u8",
    "high/media.m3u8",
    "audio-en/media.m3u8",
)
IFRAMES = "low/iframes.m3u8"


def examined(files: Files, **serving: Any) -> Report:
    library = MemoryLibrary(files=files, **serving)
    return judge(read_subject([BASE + MASTER, BASE + MPD], library))


def sub(name: str, pattern: str, put: str, *, count: int = 1) -> Plant:
    """Replace by regular expression; something must be there to be replaced."""

    def plant(files: Files) -> None:
        text, times = re.subn(pattern.encode(), put.encode(), files[name], count=count)
        assert times, f"{pattern} is not in {name}"
        files[name] = text

    return plant


def both(*plants: Plant) -> Plant:
    def plant(files: Files) -> None:
        for each in plants:
            each(files)

    return plant


def patched(rendition: str, start: str, change: Callable[[bytes], bytes]) -> Plant:
    """Change the bytes of a file whose name has a digest in it."""

    def plant(files: Files) -> None:
        name = named(files, rendition, start)
        changed = change(files[name])
        assert changed != files[name]
        files[name] = changed

    return plant


def swap(old: bytes, new: bytes, *, last: bool = False) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        at = data.rindex(old) if last else data.index(old)
        return data[:at] + new + data[at + len(old) :]

    return change


def poke(kind: bytes, offset: int, value: bytes, *, nth: int = 0) -> Callable[[bytes], bytes]:
    """Overwrite bytes at ``offset`` after the type of the ``nth`` box of ``kind``."""

    def change(data: bytes) -> bytes:
        at = -1
        for _ in range(nth + 1):
            at = data.index(kind, at + 1)
        start = at + 4 + offset
        return data[:start] + value + data[start + len(value) :]

    return change


def nested(data: bytes, path: tuple[bytes, ...], extra: bytes) -> bytes:
    """``extra`` as the last content of the box down ``path``, all sizes put right."""
    at, ends = 0, []
    for kind in path:
        at = data.index(kind, at)
        ends.append(at - 4)
        at += 4
    stop = ends[-1] + struct.unpack_from(">I", data, ends[-1])[0]
    grown = bytearray(data[:stop] + extra + data[stop:])
    for start in ends:
        struct.pack_into(">I", grown, start, struct.unpack_from(">I", data, start)[0] + len(extra))
    return bytes(grown)


def repeated(kind: bytes, *path: bytes) -> Callable[[bytes], bytes]:
    """Double the box ``kind`` inside ``path``."""

    def change(data: bytes) -> bytes:
        start = data.index(kind) - 4
        whole = data[start : start + struct.unpack_from(">I", data, start)[0]]
        return nested(data, path, whole)

    return change


def without_media(name: str) -> Plant:
    return sub(MASTER, f"#EXT-X-STREAM-INF[^\n]*\n{name}/media.m3u8\n", "")


def media_tag(attributes: str) -> Plant:
    return sub(MASTER, "#EXT-X-STREAM-INF", f"#EXT-X-MEDIA:{attributes}\n#EXT-X-STREAM-INF")


def subtitles(vtt: bytes) -> Plant:
    """A group of subtitles in one segment."""
    playlist = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n" + "".join(
        f"#EXTINF:{length},\n{number}.vtt\n" for number, length in enumerate(("4.0", "4.0", "2.4"))
    )

    def plant(files: Files) -> None:
        attributes = 'TYPE=SUBTITLES,GROUP-ID="t",NAME="English",LANGUAGE="en",AUTOSELECT=YES,URI="text/media.m3u8"'
        media_tag(attributes)(files)
        files["text/media.m3u8"] = (playlist + "#EXT-X-ENDLIST\n").encode()
        files.update({f"text/{number}.vtt": vtt for number in range(3)})

    return plant


def encrypted(scheme: bytes = b"cbcs", pattern: int = 0x19, *, own: int | None = None) -> Plant:
    """Say in the init segment, and for ``own`` samples in each fragment of a segment, that samples are encrypted."""
    tenc = full_box(b"tenc", 1, 0, bytes([0, pattern, 1, 0]), bytes(range(16)), bytes([16]), bytes(16))
    sinf = box(b"sinf", box(b"frma", b"avc1"), full_box(b"schm", 0, 0, scheme, bytes(4)), box(b"schi", tenc))

    def init(data: bytes) -> bytes:
        path = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")
        return nested(data, path, sinf).replace(b"avc1", b"encv", 1)

    def plant(files: Files) -> None:
        patched("low", "init", init)(files)
        if own is not None:
            senc = full_box(b"senc", 0, 0, struct.pack(">I", own))
            patched("low", "1-", lambda data: nested(data, (b"moof", b"traf"), senc))(files)

    return plant


def no_times(data: bytes) -> bytes:
    return data.replace(b"tfdt", b"free", 1)


FIRST_LOW = r"(#EXT-X-STREAM-INF:[^\n]*\nlow/media)"
SEGMENT_URLS = r'<SegmentURL media="2-[0-9a-f]+.m4s" ?/>'

HLS: dict[str, Plant] = {
    "hls-utf8": sub(MASTER, "^", "\ufeff"),
    "hls-first-line": sub(MASTER, "^#EXTM3U", "#EXT M3U"),
    "hls-line-ends": sub(MASTER, "#EXT-X-INDEPENDENT", "#\x0bcomment\n#EXT-X-INDEPENDENT"),
    "hls-mixed-kinds": sub(MASTER, "#EXT-X-INDEPENDENT", "#EXT-X-TARGETDURATION:4\n#EXT-X-INDEPENDENT"),
    "hls-attribute-syntax": sub(MASTER, 'NAME="English"', 'NAME="English'),
    "hls-enumerated-values": sub(MASTER, "DEFAULT=YES", "DEFAULT=TRUE"),
    "hls-required-attributes": sub(MASTER, 'NAME="English",', ""),
    "hls-version-once": sub(LOW, "#EXT-X-VERSION:6", "#EXT-X-VERSION:6\n#EXT-X-VERSION:6"),
    "hls-version-sufficient": sub(LOW, "VERSION:6", "VERSION:5"),
    "hls-codecs-present": sub(MASTER, 'CODECS="[^"]*",', ""),
    "hls-codecs-match": sub(MASTER, "avc1.64001e", "avc1.640028", count=0),
    "hls-resolution-present": sub(MASTER, "RESOLUTION=640x360,", ""),
    "hls-resolution-match": sub(MASTER, "RESOLUTION=640x360", "RESOLUTION=1280x720", count=0),
    "hls-average-present": sub(MASTER, "AVERAGE-BANDWIDTH=[0-9]+,", ""),
    "hls-average-measured": sub(MASTER, "AVERAGE-BANDWIDTH=[0-9]+", "AVERAGE-BANDWIDTH=99"),
    "hls-peak-measured": sub(MASTER, ":BANDWIDTH=[0-9]+", ":BANDWIDTH=99999999"),
    # What the low rung has together with the cheaper of the two languages.
    "hls-bandwidth-combination": sub(MASTER, r":BANDWIDTH=[0-9]+([^\n]*\nlow)", r":BANDWIDTH=212000\1"),
    "hls-bandwidth-order": sub(MASTER, "AVERAGE-BANDWIDTH=[0-9]+", "AVERAGE-BANDWIDTH=99999999"),
    "hls-peak-to-average": sub(MASTER, ":BANDWIDTH=[0-9]+", ":BANDWIDTH=99999999"),
    "hls-frame-rate-present": sub(MASTER, "FRAME-RATE=25.000,", ""),
    "hls-frame-rate-match": sub(MASTER, "FRAME-RATE=25.000", "FRAME-RATE=30.000"),
    "hls-max-frame-rate": sub(MASTER, "FRAME-RATE=25.000", "FRAME-RATE=120.000"),
    "hls-iframe-attributes": sub(MASTER, "(I-FRAME-STREAM-INF:)", r"\1FRAME-RATE=0.5,"),
    "hls-video-range": sub(MASTER, "VIDEO-RANGE=SDR", "VIDEO-RANGE=PQ"),
    "hls-sdr-fallback": sub(MASTER, "VIDEO-RANGE=SDR", "VIDEO-RANGE=HLG", count=0),
    "hls-two-variants": without_media("low"),
    "hls-two-at-top": sub(MASTER, r"(STREAM-INF:[^\n]*RESOLUTION=)640x360([^\n]*\nlow)", r"\g<1>320x180\2"),
    "hls-trick-variant": sub(MASTER, "FRAME-RATE=25.000", "FRAME-RATE=0.500"),
    "hls-default-rendition": sub(MASTER, "DEFAULT=YES", "DEFAULT=NO"),
    "hls-target-tight": lambda files: [
        sub(f"{each}/media.m3u8", "TARGETDURATION:4", "TARGETDURATION:5")(files)
        for each in ("low", "high", "audio-en", "audio-fr")
    ],
    "hls-first-variant": sub(MASTER, r":BANDWIDTH=[0-9]+", ":BANDWIDTH=60000000"),
    "hls-iframe-playlists": sub(MASTER, "#EXT-X-I-FRAME[^\n]*\n", "", count=0),
    "hls-score": sub(MASTER, ",SCORE=1.0", ""),
    "hls-independent-segments": sub(MASTER, "#EXT-X-INDEPENDENT-SEGMENTS\n", ""),
    "hls-group-exists": sub(MASTER, 'AUDIO="audio"', 'AUDIO="sound"'),
    "hls-group-names": sub(MASTER, 'NAME="Fran[^"]*"', 'NAME="English"'),
    "hls-group-default": sub(MASTER, "DEFAULT=NO", "DEFAULT=YES"),
    "hls-default-autoselect": sub(MASTER, "DEFAULT=YES,AUTOSELECT=YES", "DEFAULT=YES,AUTOSELECT=NO"),
    "hls-language": sub(MASTER, 'LANGUAGE="en",', ""),
    "hls-stereo-aac": both(
        patched("audio-en", "init", swap(b"\x11\x90", b"\x11\xb0")),
        patched("audio-fr", "init", swap(b"\x11\x90", b"\x11\xb0")),
    ),
    "hls-audio-apart": media_tag(
        'TYPE=AUDIO,GROUP-ID="audio",NAME="Inside",LANGUAGE="en",AUTOSELECT=YES,DEFAULT=NO,CHANNELS="6"'
    ),
    "hls-channels": sub(MASTER, 'CHANNELS="2"', 'CHANNELS="6"'),
    "hls-characteristics": media_tag(
        'TYPE=AUDIO,GROUP-ID="audio",NAME="Described",LANGUAGE="en",AUTOSELECT=NO,CHANNELS="2",'
        'CHARACTERISTICS="public.accessibility.describes-video",URI="audio-en/media.m3u8"'
    ),
    "hls-forced-autoselect": media_tag('TYPE=SUBTITLES,GROUP-ID="t",NAME="F",LANGUAGE="en",FORCED=YES,AUTOSELECT=NO'),
    "hls-target-duration": sub(LOW, "#EXT-X-TARGETDURATION:4\n", ""),
    "hls-playlist-type": sub(LOW, "#EXT-X-PLAYLIST-TYPE:VOD\n", ""),
    "hls-endlist": sub(LOW, "#EXT-X-ENDLIST\n", ""),
    "hls-extinf": sub(LOW, "#EXTINF:4.000000,\n", ""),
    "hls-target-rounded": sub(LOW, "#EXTINF:4.000000", "#EXTINF:4.500000"),
    "hls-six-seconds": both(
        sub(LOW, "#EXTINF:4.000000", "#EXTINF:9.000000"), sub(LOW, "TARGETDURATION:4", "TARGETDURATION:9")
    ),
    "hls-same-target": sub(SOUND, "TARGETDURATION:4", "TARGETDURATION:5"),
    "hls-same-range": sub(LOW, "#EXTINF:2.400000,\n[^\n]*\n", ""),
    "hls-extinf-exact": sub(LOW, "#EXTINF:4.000000", "#EXTINF:3.950000"),
    "hls-map": sub(LOW, "#EXT-X-MAP[^\n]*\n", ""),
    "hls-discontinuities": sub(LOW, "(#EXTINF:2.400000)", r"#EXT-X-DISCONTINUITY\n\1"),
    "hls-boundaries": both(
        sub(LOW, "#EXTINF:4.000000", "#EXTINF:3.000000"), sub(LOW, "#EXTINF:2.400000", "#EXTINF:3.400000")
    ),
    "hls-byte-ranges": sub(IFRAMES, "@[0-9]+", "@999999999"),
    "hls-iframes-only": sub(IFRAMES, "#EXT-X-I-FRAMES-ONLY\n", ""),
    "hls-iframe-range": sub(IFRAMES, "BYTERANGE:[0-9]+", "BYTERANGE:300"),
    "hls-iframe-picture": sub(IFRAMES, "BYTERANGE:[0-9]+@[0-9]+", "BYTERANGE:54500@24"),
    "hls-idr-start": patched("low", "1-", poke(b"mdat", 4, b"\x41")),
    "hls-subtitle-format": sub(MASTER, "TYPE=AUDIO", "TYPE=SUBTITLES"),
    "hls-timestamp-map": subtitles(b"WEBVTT\n\n00:00.000 --> 00:01.000\nX-TIMESTAMP-MAP=\n"),
    "hls-key-first": encrypted(),
    "hls-sample-encryption": encrypted(scheme=b"cenc", pattern=0),
}

DASH: dict[str, Plant] = {
    "dash-well-formed": sub(MPD, "</MPD>", ""),
    "dash-profiles": sub(MPD, ' profiles="[^"]*"', ""),
    "dash-min-buffer-time": sub(MPD, ' minBufferTime="[^"]*"', ""),
    "dash-static-duration": sub(MPD, ' mediaPresentationDuration="[^"]*"', ""),
    "dash-duration-accurate": sub(MPD, "PT10.4S", "PT10.7S"),
    "dash-period-start": sub(MPD, 'start="PT0S"', 'start="PT4S"'),
    "dash-dynamic-attributes": sub(MPD, 'type="static"', 'type="dynamic"'),
    "dash-max-segment": sub(MPD, 'maxSegmentDuration="[^"]*"', 'maxSegmentDuration="PT4S"'),
    "dash-seconds": sub(MPD, "PT10.4S", "P0Y0M0DT10.4S"),
    "dash-unique-ids": sub(MPD, 'id="high"', 'id="low"'),
    "dash-bandwidth-present": sub(MPD, ' bandwidth="[0-9]+"', ""),
    "dash-bandwidth-measured": sub(MPD, ' bandwidth="[0-9]+"', ' bandwidth="9000"'),
    "dash-codecs-present": sub(MPD, ' codecs="[^"]*"', ""),
    "dash-codecs-match": sub(MPD, "mp4a.40.2", "mp4a.40.5"),
    "dash-size-match": sub(MPD, ' width="640"', ' width="1920"'),
    "dash-frame-rate-match": sub(MPD, ' frameRate="25"', ' frameRate="24"'),
    "dash-frame-rate-reduced": sub(MPD, ' frameRate="25"', ' frameRate="12800/512"'),
    "dash-channels": sub(MPD, '(channel_configuration:2011" value=)"2"', r'\1"6"'),
    "dash-gaps": sub(MPD, '<S d="51200"', '<S t="51300" d="51200"'),
    "dash-covers-period": both(sub(MPD, SEGMENT_URLS, ""), sub(MPD, '<S d="30720" ?/>', "")),
    "dash-surplus": sub(MPD, "PT10.4S", "PT7S"),
    "dash-timescale-present": sub(MPD, ' timescale="12800"', ""),
    "dash-timescale-match": sub(MPD, ' timescale="12800"', ' timescale="25600"'),
    "dash-timeline-match": both(sub(MPD, 't="0" d="51200"', 't="0" d="41200"'), sub(MPD, 'd="30720"', 'd="40720"')),
    "dash-numbers": sub(MPD, 't="0"', 't="9007199254740993"'),
    "dash-one-addressing": sub(MPD, "<SegmentList", '<SegmentBase timescale="1" /><SegmentList'),
    "dash-forbidden-attributes": sub(MPD, 't="0"', 't="0" n="1"'),
    "dash-segment-pairs": sub(MPD, SEGMENT_URLS, ""),
    "dash-alignment": both(sub(MPD, 't="0" d="51200"', 't="0" d="38400"'), sub(MPD, 'd="30720"', 'd="43520"')),
    "dash-alignment-stated": sub(MPD, ' segmentAlignment="true"', ""),
    "dash-sap": patched("low", "1-", poke(b"tfhd", 16, b"\x01\x01\x00\x00")),
    "dash-sap-stated": sub(MPD, ' startWithSAP="1"', ""),
    "dash-language": sub(MPD, ' lang="en"', ""),
    "dash-role": sub(MPD, "(<Label>English</Label>\\s*)<Role [^>]*>", r"\1"),
    "dash-accessibility": sub(MPD, '(<Label>Fran[^/]*</Label>\\s*<Role [^>]*value=)"alternate"', r'\1"description"'),
    "dash-content-protection": encrypted(),
    "dash-image-tiles": sub(MPD, 'value="2x1"', 'value="two by one"'),
    "dash-image-cover": sub(
        MPD,
        "<SegmentTemplate ([^>]*) startNumber[^>]*/>",
        r'<SegmentList \1><SegmentURL media="storyboard/0-aabbccddeeff.jpg"/></SegmentList>',
    ),
    "dash-text-segments": sub(
        MPD,
        "</Period>",
        '<AdaptationSet contentType="text" mimeType="text/vtt" lang="en"><Representation id="t" bandwidth="1">'
        '<SegmentTemplate timescale="1" duration="4" media="text/$Number$.vtt"/></Representation></AdaptationSet></Period>',
    ),
}

CMAF: dict[str, Plant] = {
    "cmaf-readable": patched("low", "1-", lambda data: data[:-1000]),
    "cmaf-brand": patched("low", "init", lambda data: data.replace(b"cmfc", b"mp41").replace(b"cmf2", b"mp42")),
    "cmaf-segment-brand": patched("low", "1-", swap(b"cmfs", b"msix")),
    "cmaf-one-track": patched("low", "init", repeated(b"trak", b"moov")),
    "cmaf-one-traf": patched("low", "1-", repeated(b"traf", b"moof")),
    "cmaf-one-trun": patched("low", "1-", repeated(b"trun", b"moof", b"traf")),
    "cmaf-tfdt": patched("low", "1-", no_times),
    "cmaf-base-is-moof": patched("low", "1-", poke(b"tfhd", 1, b"\x00")),
    "cmaf-same-track": patched("low", "1-", poke(b"tfhd", 4, b"\0\0\0\x09")),
    "cmaf-edit-list": patched(
        "low",
        "init",
        lambda data: nested(
            data,
            (b"moov", b"trak"),
            box(b"edts", full_box(b"elst", 0, 0, struct.pack(">IIiI", 1, 0, 1024, 0x10000))),
        ),
    ),
    "cmaf-cmf2": patched("low", "1-", poke(b"trun", 0, b"\x00")),
    "cmaf-colour": patched("low", "init", swap(b"colr", b"free")),
    "cmaf-parameter-sets": patched("low", "init", poke(b"avcC", 5, b"\xe0\x00")),
    "cmaf-continuous": patched("low", "1-", poke(b"tfdt", 4, struct.pack(">Q", 51_300))),
    "cmaf-sequence": patched("low", "2-", poke(b"mfhd", 4, b"\0\0\0\x01")),
    "cmaf-sample-data": patched("low", "1-", poke(b"trun", 8, struct.pack(">i", 9_999))),
    "cmaf-sample-flags": patched("low", "1-", poke(b"tfhd", 16, b"\x01\x01\x00\x00")),
    "cmaf-mixed-encryption": encrypted(own=7),
    "cmaf-start-together": patched("audio-en", "0-", poke(b"tfdt", 4, struct.pack(">Q", 48_000))),
    "deterministic": patched("low", "init", poke(b"mdhd", 4, b"\0\0\0\x01")),
    "url-exists": lambda files: files.pop(named(files, "low", "1-")),
    "same-files": sub(MPD, SEGMENT_URLS, '<SegmentURL media="../high/media.m3u8"/>'),
}


def redirected(answer: Answer) -> Answer:
    return replace(answer, redirected=True)


def whole(answer: Answer) -> Answer:
    return replace(answer, status=200)


SERVED: dict[str, dict[str, Callable[[Answer], Answer]]] = {
    "hls-content-type": {".m3u8": without_header("content-type")},
    "hls-gzip": {LOW: without_header("content-encoding")},
    "hls-redirects": {".m4s": redirected},
    "url-content-type": {".m4s": without_header("content-type")},
    "url-range": {".m4s": whole},
    "url-length": {".m4s": without_header("content-length")},
    "url-etag": {".mpd": without_header("etag")},
}


DASH |= {
    "dash-trick-main": sub(MPD, 'guidelines/trickmode" value="0"', 'guidelines/trickmode" value="9"'),
    "dash-trick-pictures": sub(MPD, '(mediaRange="24-[0-9]+)', r"\g<1>9"),
}

CBCS_FAULTS: dict[str, Plant] = {
    "cmaf-protection-info": patched("low", "init", swap(b"frma", b"free")),
    "cmaf-pattern": patched("audio-en", "init", poke(b"tenc", 5, b"\x19")),
    "cmaf-constant-iv": patched("low", "init", poke(b"tenc", 7, b"\x08")),
    "cmaf-pssh": patched("low", "init", poke(b"pssh", 24, bytes(16))),
    "cmaf-subsample-map": patched("low", "1-", poke(b"saio", 8, bytes(4))),
    "cmaf-subsample-sum": patched("low", "1-", poke(b"senc", 12, b"\x00\x00\x00\x00")),
    "cmaf-clear-headers": patched("low", "1-", poke(b"senc", 10, b"\x00\x03")),
    "hls-key-attributes": sub(LOW, "IV=0x", "IV=0xab"),
    "hls-key-iv": sub(LOW, "IV=0x03", "IV=0x04"),
    "hls-key-size": lambda files: files.update({"keys/" + "1" * 32: b"11" * 16}),
    "hls-session-key": sub(MASTER, "#EXT-X-SESSION-KEY[^\n]*\n", ""),
    "dash-key-id": sub(MPD, 'default_KID="11111111-', 'default_KID="11111111'),
    "dash-pssh": sub(MPD, "<dashif:Laurl", "<cenc:pssh>AAAA</cenc:pssh><dashif:Laurl"),
    "dash-licence": sub(MPD, "<dashif:Laurl.*</dashif:Laurl>", ""),
}

AES128_FAULTS: dict[str, Plant] = {
    "hls-aes128-blocks": patched("low", "1-", lambda data: data[:-1]),
    "hls-aes128-map": sub(LOW, "(#EXT-X-MAP[^\n]*\n)(#EXT-X-KEY[^\n]*\n)", "\\2\\1"),
}


@pytest.mark.parametrize("encryption", [Encryption.CBCS, Encryption.AES128])
def test_our_own_encrypted_film_breaks_no_must(encryption: Encryption) -> None:
    report = examined(published(encryption=encryption))
    broken = [
        f"{one.rule.id} {one.where} {one.detail}" for one in report.of(Severity.MUST) if one.rule.id != "url-exists"
    ]
    assert broken == []
    held = {rule.id for rule in report.held}
    assert set(CBCS_FAULTS if encryption is Encryption.CBCS else AES128_FAULTS) - {"dash-pssh"} <= held


@pytest.mark.parametrize(
    ("encryption", "rule", "plant"),
    [
        *((Encryption.CBCS, rule, plant) for rule, plant in CBCS_FAULTS.items()),
        *((Encryption.AES128, rule, plant) for rule, plant in AES128_FAULTS.items()),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_a_fault_of_encryption_is_found_by_its_own_id(encryption: Encryption, rule: str, plant: Plant) -> None:
    files = without_versions(published(encryption=encryption))
    plant(files)
    assert rule in examined(files).ids


def test_what_aes_128_hides_is_measured_with_its_key() -> None:
    """And without it, not: nothing of what is inside is judged then."""
    files = published(encryption=Encryption.AES128)
    assert {"hls-peak-measured", "hls-idr-start", "cmaf-continuous"} <= {rule.id for rule in examined(files).held}
    del files["keys/" + "1" * 32], files["keys/" + "2" * 32]
    assert "cmaf-continuous" in {rule.id for rule, _ in examined(files).not_applicable}


@pytest.mark.parametrize(
    ("size", "enough"), [("426x240", True), ("240x426", True), ("480x270", False), ("270x480", False)]
)
def test_one_variant_is_enough_of_pictures_too_small_for_a_second(size: str, enough: bool) -> None:
    files = without_versions(published())
    both(without_media("low"), sub(MASTER, r"RESOLUTION=\d+x\d+", f"RESOLUTION={size}", count=9))(files)
    report = examined(files)
    assert ("hls-two-variants" in {rule.id for rule, _ in report.not_applicable}) is enough
    assert ("hls-two-variants" in report.ids) is not enough


def test_our_own_film_breaks_no_must() -> None:
    report = examined(published())
    assert [(finding.rule.id, finding.where, finding.detail) for finding in report.of(Severity.MUST)] == []
    assert {finding.rule.id for finding in report.of(Severity.SHOULD)} == {"hls-dense-iframes"}


def test_our_own_film_breaks_no_must_while_it_grows() -> None:
    report = examined(published(complete=False))
    assert [(finding.rule.id, finding.where, finding.detail) for finding in report.of(Severity.MUST)] == []


def test_our_own_film_served_well_breaks_no_must() -> None:
    assert examined(published(), speaks_http=True).of(Severity.MUST) == ()


@pytest.mark.parametrize(
    ("rule", "plant"),
    [*HLS.items(), *DASH.items(), *CMAF.items()],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_planted_fault_is_found_by_its_own_id(rule: str, plant: Plant) -> None:
    files = without_versions(published())
    plant(files)
    assert rule in examined(files).ids


@pytest.mark.parametrize("rule", SERVED)
def test_a_fault_of_the_server_is_found_by_its_own_id(rule: str) -> None:
    assert rule in examined(without_versions(published()), speaks_http=True, spoil=SERVED[rule]).ids


def test_long_gops_are_found() -> None:
    assert "hls-gop" in examined(published(gop_frames=100)).ids


def test_every_rule_has_a_planted_fault() -> None:
    planted = {*HLS, *DASH, *CMAF, *CBCS_FAULTS, *AES128_FAULTS, *SERVED, "hls-gop", "hls-dense-iframes"}
    assert planted == set(RULES)
    assert len(planted) >= 60


def test_every_rule_is_accounted_for() -> None:
    report = examined(published())
    told = {rule.id for rule in report.held} | report.ids | {rule.id for rule, _ in report.not_applicable}
    assert told == set(RULES)
    assert all(why for _, why in report.not_applicable)


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"#EXTM3U\n#EXTINF:x\n#EXT-X-MAP:\n#EXT-X-STREAM-INF:=", b"<MPD/>"])
def test_whatever_is_published_a_report_comes_of_it(body: bytes) -> None:
    for name in (MASTER, MPD, LOW):
        files = without_versions(published())
        files[name] = body
        assert examined(files).ids
