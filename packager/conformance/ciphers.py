"""Rules about encryption: boxes, EXT-X-KEY and ContentProtection, each by itself and against one another."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from packager.cmaf.pssh import COMMON_SYSTEM, read_pssh
from packager.conformance.findings import Judge
from packager.conformance.init_segments import MeasuredInit
from packager.conformance.mpds import Descriptor
from packager.conformance.playlists import Entry, Piece, Playlist
from packager.conformance.subject import Role, Subject, Track
from storage.errors import WrongOutput

_CLEARKEY = "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e"
_PROTECTION = "urn:mpeg:dash:mp4protection:2011"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_IV = re.compile(r"0[xX][0-9a-fA-F]{32}")
_BLOCK = 16
_WHOLE = ((0, 0), (1, 0))


def judge_ciphers(subject: Subject, judge: Judge) -> None:
    tracks = {track.init_url: track for track in subject.all_tracks() if track.init_url and track.init is not None}
    for url, track in tracks.items():
        if track.init is not None and track.init.encrypted:
            _init(track.init, str(url), judge)
    for track in {(track.init_url, track.pieces): track for track in subject.all_tracks()}.values():
        if track.init is not None and track.init.encrypted:
            _fragments(track, judge)
    for url, playlist in subject.playlists.items():
        _playlist(subject, playlist, subject.tracks.get(url), judge)
    for url, key in subject.keys.items():
        judge.expect(len(key) == _BLOCK, "hls-key-size", url, f"It is {len(key)} bytes.")
    _session_keys(subject, judge)
    _mpds(subject, judge)


def _init(init: MeasuredInit, url: str, judge: Judge) -> None:
    whole = init.original is not None and init.scheme != "?" and init.key is not None
    judge.expect(whole, "cmaf-protection-info", url, "The sample entry lacks frma, schm or tenc.")
    if init.key is None:
        return
    if init.scheme == "cbcs":
        fits = init.pattern == (1, 9) if init.kind == "video" else init.pattern in _WHOLE
        judge.expect(fits, "cmaf-pattern", url, f"The pattern is {init.pattern}.")
        constant = init.key.iv is not None and len(init.key.iv) in (16, 32)
        judge.expect(constant, "cmaf-constant-iv", url, f"The constant IV is {init.key.iv or 'missing'}.")
    judge.expect(init.pssh_problem is None, "cmaf-pssh", url, init.pssh_problem or "")
    for system, kids in init.pssh:
        named = not kids or init.key_id in kids
        judge.expect(named, "cmaf-pssh", url, f"The box of {system} does not list the key {init.key_id}.")


def _fragments(track: Track, judge: Judge) -> None:
    for piece in track.pieces:
        for fragment in piece.measured.fragments if piece.measured is not None else ():
            if fragment.protection is None or fragment.protected == 0:
                continue
            where = f"{piece.url}@{(piece.span[0] if piece.span else 0) + fragment.start}"
            measured = fragment.protection
            judge.expect(measured.map_problem is None, "cmaf-subsample-map", where, measured.map_problem or "")
            judge.expect(measured.sum_problem is None, "cmaf-subsample-sum", where, measured.sum_problem or "")
            judge.expect(measured.clear_problem is None, "cmaf-clear-headers", where, measured.clear_problem or "")


# --- HLS ---------------------------------------------------------------------------------------------------------------


def _playlist(subject: Subject, playlist: Playlist, track: Track | None, judge: Judge) -> None:
    for entry in _keys(playlist):
        _attributes(entry, playlist.at(entry.line), judge)
    whole = any(piece.key is not None and piece.key.text("METHOD") == "AES-128" for piece in playlist.pieces)
    for number, piece in enumerate(playlist.pieces):
        key = piece.key
        if key is None:
            if whole and track is not None and number < len(track.pieces):
                measured = track.pieces[number].measured
                clear = measured is None or (measured.problem is None and bool(measured.fragments))
                detail = "No EXT-X-KEY precedes it, and it is no clear segment."
                judge.expect(clear, "hls-key-first", playlist.at(piece.line), detail)
            continue
        where = playlist.at(piece.line)
        if key.text("METHOD") == "AES-128":
            _whole_blocks(subject, piece, where, judge)
        elif track is not None and key.text("KEYFORMAT") in (None, "identity") and key.text("IV") is not None:
            _same_iv(track, number, key, where, judge)
    if any(piece.map_key is not None and piece.map_key.text("METHOD") == "AES-128" for piece in playlist.pieces):
        stated = all("IV" in piece.map_key.values for piece in playlist.pieces if piece.map_key is not None)
        judge.expect(stated, "hls-aes128-map", playlist.url, "EXT-X-MAP follows a key without an IV.")
    elif whole:
        judge.expect(True, "hls-aes128-map", playlist.url)


def _keys(playlist: Playlist) -> Iterator[Entry]:
    yield from {id(piece.key): piece.key for piece in playlist.pieces if piece.key is not None}.values()
    yield from playlist.session_keys


def _attributes(entry: Entry, where: str, judge: Judge) -> None:
    if entry.text("METHOD") != "NONE":
        judge.expect("URI" in entry.values, "hls-key-attributes", where, "There is no URI.")
    iv = entry.values.get("IV")
    judge.expect(iv is None or _IV.fullmatch(iv) is not None, "hls-key-attributes", where, f"IV is {iv}.")
    judge.expect(entry.text("METHOD") != "NONE" or entry.tag == "EXT-X-KEY", "hls-key-attributes", where, "It is NONE.")


def _whole_blocks(subject: Subject, piece: Piece, where: str, judge: Judge) -> None:
    size = subject.sizes.get((piece.url, piece.span))
    if size is not None:
        detail = f"{size} bytes are no whole blocks: this was not encrypted by itself."
        judge.expect(size % _BLOCK == 0 and size > 0, "hls-aes128-blocks", where, detail)


def _same_iv(track: Track, number: int, key: Entry, where: str, judge: Judge) -> None:
    piece = track.pieces[number] if number < len(track.pieces) else None
    if piece is None or piece.measured is None or not piece.measured.fragments or track.init is None:
        return
    protection = piece.measured.fragments[0].protection
    held = (protection.key if protection is not None else None) or track.init.key
    if held is None or held.iv is None:
        return
    stated = (key.text("IV") or "")[2:].lower()
    detail = f"IV is {stated}, the segment's {held.iv}."
    judge.expect(stated == held.iv.ljust(32, "0"), "hls-key-iv", where, detail)


def _session_keys(subject: Subject, judge: Judge) -> None:
    for multivariant in subject.multivariants:
        used = {
            piece.key.url
            for url, playlist in subject.playlists.items()
            if subject.roles[url] is Role.VARIANT
            for piece in playlist.pieces
            if piece.key is not None
        }
        if used:
            announced = {entry.url for entry in multivariant.session_keys}
            detail = f"{len(used - announced)} of {len(used)} keys are not announced."
            judge.expect(used <= announced, "hls-session-key", multivariant.url, detail)


# --- DASH --------------------------------------------------------------------------------------------------------------


def _mpds(subject: Subject, judge: Judge) -> None:
    for mpd in subject.mpds:
        for period in mpd.periods:
            for each in period.sets:
                where = f"{mpd.url}, {each.name}"
                found = [one for one in each.descriptors if one.tag == "ContentProtection"]
                kids = [one.default_kid for one in found if one.default_kid is not None]
                for one in found:
                    _content_protection(one, kids, where, judge)


def _content_protection(one: Descriptor, kids: list[str], where: str, judge: Judge) -> None:
    if one.scheme.lower() == _PROTECTION and one.default_kid is not None:
        good = _UUID.fullmatch(one.default_kid) is not None
        judge.expect(good, "dash-key-id", where, f"default_KID is {one.default_kid}.")
    if one.scheme.lower() == _CLEARKEY:
        judge.expect(one.licence_url is not None, "dash-licence", where, "ClearKey has no Laurl.")
    if one.pssh is not None:
        problem = _pssh_problem(one.pssh, one.scheme, kids)
        judge.expect(problem is None, "dash-pssh", where, problem or "")


def _pssh_problem(text: str, scheme: str, kids: list[str]) -> str | None:
    try:
        system, listed = read_pssh(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError):
        return "It is not Base64."
    except WrongOutput as error:
        return error.sentence
    if f"urn:uuid:{system}" != scheme.lower() and system != COMMON_SYSTEM:
        return f"The box is of {system}."
    missing = [kid for kid in kids if listed and kid.replace("-", "").lower() not in listed]
    return f"It does not list the key {missing[0]}." if missing else None
