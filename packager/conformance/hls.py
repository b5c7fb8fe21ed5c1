"""Rules about the text of playlists and about media playlists: durations, ranges, I-frames, subtitles, keys."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import accumulate, pairwise

from packager.conformance.findings import Judge
from packager.conformance.playlists import Entry, Playlist
from packager.conformance.subject import Role, Subject, Track

_SYNTAX = (
    "hls-utf8",
    "hls-first-line",
    "hls-line-ends",
    "hls-mixed-kinds",
    "hls-attribute-syntax",
    "hls-version-once",
)
_ENUMERATED = {
    "TYPE": {"AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"},
    "DEFAULT": {"YES", "NO"},
    "AUTOSELECT": {"YES", "NO"},
    "FORCED": {"YES", "NO"},
    "METHOD": {"NONE", "AES-128", "SAMPLE-AES", "SAMPLE-AES-CTR"},
    "VIDEO-RANGE": {"SDR", "HLG", "PQ"},
    "HDCP-LEVEL": {"TYPE-0", "TYPE-1", "NONE"},
}
_REQUIRED = {
    "EXT-X-MEDIA": ("TYPE", "GROUP-ID", "NAME"),
    "EXT-X-STREAM-INF": ("BANDWIDTH",),
    "EXT-X-I-FRAME-STREAM-INF": ("BANDWIDTH", "URI"),
    "EXT-X-IMAGE-STREAM-INF": ("BANDWIDTH", "URI"),
}
_TIMED_ROLES = (Role.VARIANT, Role.AUDIO, Role.VIDEO, Role.SUBTITLES)
_ROUNDING = Fraction(1, 1000)
_GOP_SECONDS = Fraction(2)
_END_SLACK = Fraction(1, 10)


def judge_playlists(subject: Subject, judge: Judge) -> None:
    """What holds of every playlist, and of media playlists among themselves."""
    for playlist in (*subject.multivariants, *subject.playlists.values()):
        _text(playlist, judge)
    for url, playlist in subject.playlists.items():
        _media(playlist, subject.roles[url], judge)
        if playlist.pieces and url in subject.tracks and subject.roles[url] is not Role.IMAGES:
            judge.expect(playlist.pieces[0].map is not None, "hls-map", url, "There is no EXT-X-MAP.")
            _keys(playlist, subject.tracks[url], judge)
        _byte_ranges(subject, playlist, judge)
    _together(subject, judge)
    for url, role in subject.roles.items():
        track = subject.tracks.get(url)
        if role is Role.SUBTITLES:
            _subtitles(subject, subject.playlists[url], judge)
        elif role is Role.IFRAMES:
            _iframes(subject.playlists[url], track, judge)
        elif track is not None and track.measurable:
            _measured(subject.playlists[url], track, judge)


def _text(playlist: Playlist, judge: Judge) -> None:
    broken = {complaint.rule for complaint in playlist.complaints}
    for complaint in playlist.complaints:
        judge.expect(False, complaint.rule, playlist.at(complaint.line), complaint.detail)
    for rule in (*_SYNTAX, "hls-enumerated-values", "hls-required-attributes"):
        if rule not in broken:
            judge.expect(True, rule, playlist.url)
    if not playlist.is_multivariant and "hls-extinf" not in broken:
        judge.expect(True, "hls-extinf", playlist.url)
    needed, why = _version_needed(playlist)
    judge.expect(
        playlist.version >= needed,
        "hls-version-sufficient",
        playlist.url,
        f"{why} needs {needed}, not {playlist.version}.",
    )
    for entry in _entries(playlist):
        where = playlist.at(entry.line)
        for name, allowed in _ENUMERATED.items():
            value = entry.values.get(name)
            if value is not None and (name, entry.tag) != ("TYPE", "EXT-X-SESSION-DATA"):
                judge.expect(value in allowed, "hls-enumerated-values", where, f"{name} is {value}.")
        for name in _REQUIRED.get(entry.tag, ()):
            judge.expect(name in entry.values, "hls-required-attributes", where, f"{entry.tag} has no {name}.")


def _entries(playlist: Playlist) -> Iterable[Entry]:
    yield from playlist.media
    yield from playlist.variants
    yield from playlist.iframe_variants
    yield from playlist.image_variants
    yield from playlist.session_keys
    yield from {id(piece.key): piece.key for piece in playlist.pieces if piece.key is not None}.values()


def _version_needed(playlist: Playlist) -> tuple[int, str]:
    """RFC 8216bis section 8."""
    needs = [(1, "nothing")]
    if any(piece.seconds is not None and piece.seconds.denominator != 1 for piece in playlist.pieces):
        needs.append((3, "A decimal EXTINF"))
    if "EXT-X-BYTERANGE" in playlist.tags or playlist.iframes_only:
        needs.append((4, "A byte range or EXT-X-I-FRAMES-ONLY"))
    if any(piece.map is not None for piece in playlist.pieces):
        needs.append((5, "EXT-X-MAP") if playlist.iframes_only else (6, "EXT-X-MAP"))
    keys = [*playlist.session_keys, *(piece.key for piece in playlist.pieces if piece.key is not None)]
    if any("IV" in key.values for key in keys):
        needs.append((2, "IV"))
    if any("KEYFORMAT" in key.values for key in keys):
        needs.append((5, "KEYFORMAT"))
    if any((entry.text("INSTREAM-ID") or "").startswith("SERVICE") for entry in playlist.media):
        needs.append((7, "INSTREAM-ID of a SERVICE"))
    if "EXT-X-DEFINE" in playlist.tags:
        needs.append((8, "EXT-X-DEFINE"))
    if any("QUERYPARAM" in entry.values for entry in playlist.definitions):
        needs.append((11, "QUERYPARAM"))
    return max(needs)


def _media(playlist: Playlist, role: Role, judge: Judge) -> None:
    url = playlist.url
    if not judge.expect(
        playlist.target_seconds is not None, "hls-target-duration", url, "There is no EXT-X-TARGETDURATION."
    ):
        return
    assert playlist.target_seconds is not None
    judge.expect(playlist.playlist_type is not None, "hls-playlist-type", url, "There is no EXT-X-PLAYLIST-TYPE.")
    if playlist.playlist_type == "VOD":
        judge.expect(playlist.ended, "hls-endlist", url, "It is VOD, and has no end.")
    elif playlist.playlist_type is None:
        judge.expect(playlist.ended, "hls-endlist", url, "It has neither a type nor an end.")
    if role is Role.IFRAMES:
        judge.expect(playlist.iframes_only, "hls-iframes-only", url, "There is no EXT-X-I-FRAMES-ONLY.")
        return
    for piece in playlist.pieces:
        if piece.seconds is not None:
            rounded = (piece.seconds + Fraction(1, 2)).__floor__()
            judge.expect(
                rounded <= playlist.target_seconds,
                "hls-target-rounded",
                playlist.at(piece.line),
                f"{float(piece.seconds):.3f} s is over the target of {playlist.target_seconds} s.",
            )
    if len(playlist.pieces) > 1 and role in (Role.VARIANT, Role.AUDIO):
        longest = max((piece.seconds or Fraction(0)) for piece in playlist.pieces)
        fits = 2 <= longest <= 7
        judge.expect(fits, "hls-six-seconds", url, f"Segments last up to {float(longest):.1f} s.")


def _byte_ranges(subject: Subject, playlist: Playlist, judge: Judge) -> None:
    for piece in playlist.pieces:
        if piece.span is not None and piece.url in subject.files:
            inside = subject.files[piece.url].answer.status != 416
            detail = f"Bytes {piece.span[0]} to {piece.span[1]} are not in it."
            judge.expect(inside, "hls-byte-ranges", playlist.at(piece.line), detail)


def _together(subject: Subject, judge: Judge) -> None:
    timed = [playlist for url, playlist in subject.playlists.items() if subject.roles[url] in _TIMED_ROLES]
    if len(timed) < 2:
        return
    targets = {playlist.target_seconds for playlist in timed if playlist.target_seconds is not None}
    said = ", ".join(f"{target} s" for target in sorted(targets))
    judge.expect(len(targets) <= 1, "hls-same-target", timed[0].url, f"The target durations are {said}.")
    reference = timed[0]
    # One rendition ends with a picture, another with an audio frame; a growing one may be a segment ahead.
    ended = all(playlist.ended for playlist in timed)
    slack = _END_SLACK if ended else Fraction(reference.target_seconds or 0)
    longest = max(
        (piece.seconds or Fraction(0) for playlist in timed for piece in playlist.pieces), default=Fraction(0)
    )
    tight = max(1, (longest + Fraction(1, 2)).__floor__())
    if ended and targets:
        detail = f"It is {max(targets)} s; the longest segment lasts {float(longest):.3f} s."
        judge.expect(max(targets) <= tight, "hls-target-tight", reference.url, detail)
    marks = _discontinuities(reference)
    for playlist in timed[1:]:
        off = playlist.seconds - reference.seconds
        detail = f"It is {float(abs(off)):.3f} s {'longer' if off > 0 else 'shorter'} than {reference.url}."
        judge.expect(abs(off) <= slack, "hls-same-range", playlist.url, detail)
        if subject.roles[playlist.url] is not Role.SUBTITLES:
            _boundaries(subject, reference, playlist, judge)
        if marks or _discontinuities(playlist):
            same = len(marks) == len(_discontinuities(playlist)) and all(
                abs(left - right) <= slack for left, right in zip(marks, _discontinuities(playlist), strict=False)
            )
            judge.expect(same, "hls-discontinuities", playlist.url, f"They differ from those of {reference.url}.")


def _discontinuities(playlist: Playlist) -> list[Fraction]:
    starts = accumulate((piece.seconds or Fraction(0) for piece in playlist.pieces), initial=Fraction(0))
    return [start for start, piece in zip(starts, playlist.pieces, strict=False) if piece.discontinuity]


def _boundaries(subject: Subject, reference: Playlist, playlist: Playlist, judge: Judge) -> None:
    """Video: identical. Audio: within one of its frames."""
    track = subject.tracks.get(playlist.url)
    frame = (track.frame_seconds() if track else None) or Fraction(1, 20)
    audio = subject.roles[playlist.url] is Role.AUDIO or (track is not None and track.kind == "audio")
    slack = (frame if audio else Fraction(0)) + _ROUNDING
    pairs = zip(_starts(reference), _starts(playlist), strict=False)
    off = next((index for index, (left, right) in enumerate(pairs) if abs(left - right) > slack), None)
    judge.expect(
        off is None, "hls-boundaries", playlist.url, f"Segment {off} starts at another time than in {reference.url}."
    )


def _starts(playlist: Playlist) -> list[Fraction]:
    return list(accumulate((piece.seconds or Fraction(0) for piece in playlist.pieces), initial=Fraction(0)))[:-1]


def _subtitles(subject: Subject, playlist: Playlist, judge: Judge) -> None:
    track = subject.tracks.get(playlist.url)
    if track is not None:
        entry = track.init.entry if track.init else "?"
        judge.expect(entry == "stpp", "hls-subtitle-format", playlist.url, f"The segments are {entry} in MP4.")
        return
    judge.expect(True, "hls-subtitle-format", playlist.url)
    for piece in playlist.pieces:
        text = subject.texts.get(piece.url, b"")
        judge.expect(
            b"X-TIMESTAMP-MAP=" in text.partition(b"\n\n")[0],
            "hls-timestamp-map",
            piece.url,
            "Its header has no X-TIMESTAMP-MAP.",
        )


def _iframes(playlist: Playlist, track: Track | None, judge: Judge) -> None:
    if track is None or track.init is None or track.init.problem is not None:
        return
    for piece, named in zip(track.pieces, playlist.pieces, strict=True):
        if piece.measured is None:
            continue
        where = playlist.at(named.line)
        fragments = piece.measured.fragments
        whole = piece.measured.problem is None and all(fragment.outside == 0 for fragment in fragments)
        judge.expect(whole, "hls-iframe-range", where, piece.measured.problem or "Samples lie outside of the range.")
        pictures = sum(fragment.samples for fragment in fragments)
        key = bool(fragments) and fragments[0].starts_with_sync and fragments[0].starts_with_key_picture is not False
        detail = f"The range declares {pictures} pictures{'' if key else ', the first of them no keyframe'}."
        judge.expect(pictures == 1 and key, "hls-iframe-picture", where, detail)
    judge.expect(
        all((piece.seconds or 0) <= Fraction(3, 2) for piece in playlist.pieces[:-1]),
        "hls-dense-iframes",
        playlist.url,
        "Pictures are more than a second apart.",
    )


def _measured(playlist: Playlist, track: Track, judge: Judge) -> None:
    slack = (track.frame_seconds() or Fraction(1, 25)) + _ROUNDING
    drift = worst = Fraction(0)
    at = playlist.url
    for piece, named in zip(track.pieces, playlist.pieces, strict=True):
        drift += piece.seconds - track.seconds(piece)
        if abs(drift) > abs(worst):
            worst, at = drift, playlist.at(named.line)
    judge.expect(
        abs(worst) < slack, "hls-extinf-exact", at, f"EXTINFs are {float(worst):+.3f} s off the media by there."
    )
    if track.kind != "video":
        return
    for piece in track.pieces:
        assert piece.measured is not None
        first = piece.measured.fragments[0]
        good = first.starts_with_sync if first.starts_with_key_picture is None else first.starts_with_key_picture
        judge.expect(good, "hls-idr-start", piece.url, "Its first picture is no IDR picture.")
    _gops(track, judge)


def _gops(track: Track, judge: Judge) -> None:
    assert track.init is not None
    times = [
        time
        for piece in track.pieces
        if piece.measured is not None
        for fragment in piece.measured.fragments
        for time in fragment.sync_times
    ]
    gaps = [Fraction(right - left, track.init.timescale) for left, right in pairwise(times)]
    longest = max(gaps, default=Fraction(0))
    frame = track.frame_seconds() or Fraction(0)
    # Two seconds of 29.97 pictures are 60 of them, and 2 ms too long; half a picture is rounding.
    judge.expect(
        longest <= _GOP_SECONDS + frame / 2 + _ROUNDING,
        "hls-gop",
        track.where,
        f"The longest GOP lasts {float(longest):.2f} s.",
    )


def _keys(playlist: Playlist, track: Track, judge: Judge) -> None:
    if track.init is None or not track.init.encrypted:
        return
    for piece, named in zip(track.pieces, playlist.pieces, strict=True):
        coded = piece.measured is not None and any(fragment.protected for fragment in piece.measured.fragments)
        if coded:
            judge.expect(named.key is not None, "hls-key-first", playlist.at(named.line), "No EXT-X-KEY precedes it.")
    pattern = (1, 9) if track.kind == "video" else track.init.pattern
    good = track.init.scheme == "cbcs" and track.init.pattern == pattern
    detail = f"The scheme is {track.init.scheme}, the pattern {track.init.pattern}."
    judge.expect(good, "hls-sample-encryption", track.where, detail)
