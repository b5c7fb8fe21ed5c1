"""What manifests say of encryption, slice headers, and whole segments."""

from __future__ import annotations

import base64
import struct
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packager.cmaf.avc_slices import AvcSlices, escaped_length, unescaped
from packager.cmaf.protection import avc_subsamples, split_clear
from packager.cmaf.pssh import common_pssh, read_pssh
from packager.compose import compose
from packager.dash.mpd import render_mpd
from packager.encryption import Protection, content_protection, decrypted_whole, encrypted_whole, offers_key
from packager.hls.multivariant_playlist import multivariant_playlist
from storage.errors import WrongOutput
from storage.media.encryption import DrmSystem, Encryption, KeyFacts
from tests.fragmented import REAL_SETS, sliced_picture
from tests.presentations import PUBLISHED_AT, a_presentation
from tests.published_files import content_keys

WIDEVINE = DrmSystem(
    system_id="edef8ba9-79d6-4ace-a3c8-27dcd51d21ed",
    pssh=base64.b64encode(common_pssh([KeyFacts(kid="1" * 32, iv="0" * 32)])).decode(),
    hls_key_format="urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed",
    hls_uri="data:text/plain;base64,AAAA",
    licence_url="https://licences.example/",
)


def protection(*systems: DrmSystem, encryption: Encryption = Encryption.CBCS) -> Protection:
    keys = tuple(replace(key.facts, systems=systems) for key in content_keys())
    return Protection(encryption=encryption, keys=keys)


def test_the_mpd_protects_every_set_of_media_and_names_the_licences() -> None:
    root = ET.fromstring(render_mpd(a_presentation(protection=protection()), published_at=PUBLISHED_AT))
    namespaces = {"d": "urn:mpeg:dash:schema:mpd:2011", "p": "https://dashif.org/CPS"}
    for each in root.iterfind(".//d:AdaptationSet", namespaces):
        found = each.findall("d:ContentProtection", namespaces)
        assert len(found) == (0 if each.get("contentType") == "image" else 2)
        for element in found[:1]:
            assert element.get("{urn:mpeg:cenc:2013}default_KID") == "11111111-1111-1111-1111-111111111111"
        for element in found[1:]:
            assert element.findtext("p:Laurl", namespaces=namespaces) == "keys"


def test_a_drm_services_keys_are_its_own_to_deliver() -> None:
    told = protection(WIDEVINE)
    assert not offers_key(told.keys[0])
    schemes = [element.get("schemeIdUri") for element in content_protection(told)]
    assert schemes == ["urn:mpeg:dash:mp4protection:2011", f"urn:uuid:{WIDEVINE.system_id}"]
    text = multivariant_playlist(a_presentation(protection=told)).render()
    assert text.count("#EXT-X-SESSION-KEY") == 2
    assert "keys/" not in text
    assert 'KEYFORMAT="urn:uuid:edef8ba9' in text
    assert "KEYID=0x" + "1" * 32 in text


def test_a_drm_that_says_nothing_for_hls_is_named_there_by_its_id_and_its_box() -> None:
    told = protection(replace(WIDEVINE, hls_key_format=None, hls_uri=None))
    text = multivariant_playlist(a_presentation(protection=told)).render()
    uri = f'URI="data:text/plain;base64,{WIDEVINE.pssh}"'
    assert text.count(f'{uri},KEYID=0x{"1" * 32},KEYFORMAT="urn:uuid:{WIDEVINE.system_id}",KEYFORMATVERSIONS="1"') == 1
    assert text.count("#EXT-X-SESSION-KEY") == 2


def test_aes_128_has_no_mpd_and_no_ranges() -> None:
    files = {
        file.name: file.body
        for file in compose(
            a_presentation(protection=protection(encryption=Encryption.AES128)), published_at=PUBLISHED_AT
        )
    }
    assert "manifest.mpd" not in files
    assert b"EXT-X-BYTERANGE" not in files["360p/iframes.m3u8"]
    lines = files["360p/media.m3u8"].decode().splitlines()
    assert lines.index('#EXT-X-MAP:URI="init-0123456789ab.mp4"') < lines.index(
        '#EXT-X-KEY:METHOD=AES-128,URI="../keys/11111111111111111111111111111111"'
    )


def test_keys_begin_where_their_period_does() -> None:
    files = {
        file.name: file.body.decode()
        for file in compose(a_presentation(protection=protection()), published_at=PUBLISHED_AT)
    }
    lines = files["360p/media.m3u8"].splitlines()
    at = [index for index, line in enumerate(lines) if line.startswith("#EXT-X-KEY")]
    assert [sum(line.endswith(".m4s") for line in lines[:index]) for index in at] == [0, 2]


@pytest.mark.parametrize("firsts", [(), (1,), (0, 0), (0, 5, 3)])
def test_what_is_encrypted_has_a_key_for_every_segment(firsts: tuple[int, ...]) -> None:
    keys = tuple(KeyFacts(kid="1" * 32, iv="2" * 32, first_segment=first) for first in firsts)
    with pytest.raises(ValueError, match="from its first segment on"):
        Protection(encryption=Encryption.CBCS, keys=keys)


@given(st.binary(max_size=200), st.integers(0, 2**40))
def test_whole_segments_come_back(body: bytes, sequence: int) -> None:
    key = content_keys()[0]
    sent = encrypted_whole(body, key, sequence)
    assert len(sent) % 16 == 0
    assert decrypted_whole(sent, key.key, sequence.to_bytes(16, "big")) == body


@pytest.mark.parametrize(
    ("body", "key"), [(b"", b"k" * 16), (b"x" * 15, b"k" * 16), (b"x" * 16, b"k"), (b"x" * 16, None)]
)
def test_what_is_no_ciphertext_is_not_decrypted(body: bytes, key: bytes | None) -> None:
    assert decrypted_whole(body, key, bytes(16)) is None


@pytest.mark.parametrize(("idr", "header"), [(True, 4), (False, 3)])
def test_slice_headers_stay_clear_and_other_units_whole(idr: bool, header: int) -> None:
    slices = AvcSlices.of(memoryview(REAL_SETS))
    picture = sliced_picture(7, idr=idr, padding=100)
    ((clear, protected),) = avc_subsamples(memoryview(picture), slices, 4)
    assert clear == 4 + 8 + 4 + header  # a supplemental unit, and the length and header of the slice
    assert clear + protected == len(picture)


def test_a_slice_without_its_parameter_sets_is_refused() -> None:
    slices = AvcSlices({}, {})
    with pytest.raises(WrongOutput):
        list(avc_subsamples(memoryview(sliced_picture(0, idr=True, padding=50)), slices, 4))


@pytest.mark.parametrize("picture", [struct.pack(">I", 0), struct.pack(">I", 9) + b"e", b"\0\0"])
def test_units_that_do_not_fill_their_picture_are_refused(picture: bytes) -> None:
    with pytest.raises(WrongOutput):
        list(avc_subsamples(memoryview(picture), AvcSlices.of(memoryview(REAL_SETS)), 4))


@given(st.lists(st.sampled_from([0, 1, 3]), max_size=40).map(bytes), st.integers(0, 40))
def test_emulation_prevention_is_counted_as_it_is_removed(payload: bytes, count: int) -> None:
    escaped = bytearray()
    for byte in payload:
        if byte <= 3 and escaped[-2:] == b"\0\0":
            escaped.append(3)
        escaped.append(byte)
    if escaped[-1:] == b"\0":
        escaped.append(1)
        payload += b"\1"
    assert unescaped(bytes(escaped)) == payload
    wanted = min(count, len(payload))
    assert unescaped(bytes(escaped[: escaped_length(bytes(escaped), wanted)])) == payload[:wanted]


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 1000)), min_size=1, max_size=5).map(tuple))
def test_long_clear_spans_are_split_and_nothing_is_lost(spans: tuple[tuple[int, int], ...]) -> None:
    split = split_clear(spans)
    assert all(clear <= 0xFFFF for clear, _ in split)
    assert sum(clear + protected for clear, protected in split) == sum(map(sum, spans))
    assert [protected for _, protected in split if protected] == [protected for _, protected in spans if protected]


def test_a_pssh_lists_its_keys() -> None:
    system, kids = read_pssh(common_pssh(protection().keys))
    assert system == "1077efec-c0b2-4d02-ace3-3c1e52e2fb4b"
    assert kids == ("1" * 32, "2" * 32)
    with pytest.raises(WrongOutput):
        read_pssh(b"\0\0\0\x08free")
