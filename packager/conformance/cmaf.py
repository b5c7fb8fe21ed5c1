"""Rules about the bytes: boxes, fragments, decode times, sample flags, encryption."""

from __future__ import annotations

from fractions import Fraction

from packager.conformance.findings import Judge
from packager.conformance.init_segments import MeasuredInit
from packager.conformance.measured import MeasuredFragment
from packager.conformance.subject import Role, Subject, Track, TrackPiece

_CMAF_BRANDS = frozenset({"cmfc", "cmf2"})
_CMAF_SEGMENT_BRANDS = frozenset({"cmfs", "cmfl", "cmff", "cmfc", "cmf2"})
_TOGETHER = Fraction(1, 10)


def judge_cmaf(subject: Subject, judge: Judge) -> None:
    tracks = {
        (track.init_url, tuple((piece.url, piece.span) for piece in track.pieces)): track
        for url, track in (*subject.tracks.items(), *((None, track) for track in subject.dash_tracks.values()))
        if url is None or subject.roles[url] is not Role.IFRAMES
    }
    inits = {track.init_url: track.init for track in tracks.values() if track.init_url and track.init is not None}
    for url, init in inits.items():
        if judge.expect(init.problem is None, "cmaf-readable", str(url), init.problem or ""):
            _init(init, str(url), judge)
    for track in tracks.values():
        if track.init is not None and track.init.problem is None:
            _track(track, track.init, judge)
    _starts(list(tracks.values()), judge)


def _init(init: MeasuredInit, url: str, judge: Judge) -> None:
    brands = ", ".join(init.brands) or "none"
    judge.expect(bool(_CMAF_BRANDS & set(init.brands)), "cmaf-brand", url, f"The brands are {brands}.")
    judge.expect(init.tracks == 1, "cmaf-one-track", url, f"There are {init.tracks} tracks.")
    # An empty edit (media time -1) delays the track; several edits play it in pieces. A lone one may skip the start.
    skips = len(init.edits) == 1 and init.edits[0][1] >= 0
    fits = not init.edits or ("cmf2" not in init.brands and skips)
    judge.expect(fits, "cmaf-edit-list", url, f"Its edits are (duration, start) {list(init.edits[:3])}.")
    if init.kind == "video":
        judge.expect(init.colour and init.pixel_shape, "cmaf-colour", url, "The sample entry lacks colr or pasp.")
    judge.expect(not init.dated, "deterministic", url, "It has a time of creation.")
    if init.parameter_sets is not None and init.entry in ("avc1", "hvc1"):
        judge.expect(init.parameter_sets > 0, "cmaf-parameter-sets", url, "There are no parameter sets.")


def _track(track: Track, init: MeasuredInit, judge: Judge) -> None:
    expected: int | None = None
    sequence = -1
    for piece in track.pieces:
        measured = piece.measured
        if measured is None:
            expected = None
            continue
        if not judge.expect(measured.problem is None, "cmaf-readable", _at(piece), measured.problem or ""):
            expected = None
        if measured.brands:
            fits = bool(_CMAF_SEGMENT_BRANDS & set(measured.brands))
            judge.expect(fits, "cmaf-segment-brand", _at(piece), f"The brands are {', '.join(measured.brands)}.")
        for fragment in measured.fragments:
            where = f"{piece.url}@{(piece.span[0] if piece.span else 0) + fragment.start}"
            _fragment(fragment, init, where, judge)
            if fragment.decode_ticks is None:
                expected = None
                continue
            if expected is not None:
                detail = f"It is decoded at {fragment.decode_ticks}, not at {expected}."
                judge.expect(fragment.decode_ticks == expected, "cmaf-continuous", where, detail)
            expected = fragment.decode_ticks + fragment.duration_ticks
            judge.expect(
                fragment.sequence > sequence, "cmaf-sequence", where, f"{fragment.sequence} follows {sequence}."
            )
            sequence = fragment.sequence


def _at(piece: TrackPiece) -> str:
    return piece.url if piece.span is None else f"{piece.url}@{piece.span[0]}"


def _fragment(fragment: MeasuredFragment, init: MeasuredInit, where: str, judge: Judge) -> None:
    judge.expect(fragment.tracks == 1, "cmaf-one-traf", where, f"There are {fragment.tracks} track fragments.")
    judge.expect(fragment.runs == 1, "cmaf-one-trun", where, f"There are {fragment.runs} runs.")
    judge.expect(fragment.base_is_moof, "cmaf-base-is-moof", where, "Offsets count from elsewhere.")
    if not judge.expect(fragment.decode_ticks is not None, "cmaf-tfdt", where, "There is no tfdt."):
        return
    same = fragment.track_id == init.track_id
    judge.expect(same, "cmaf-same-track", where, f"It is of track {fragment.track_id}, not {init.track_id}.")
    judge.expect(
        fragment.outside == 0, "cmaf-sample-data", where, f"{fragment.outside} samples lie outside of the mdat."
    )
    if "cmf2" in init.brands:
        fits = fragment.repeats_defaults and (init.kind != "video" or fragment.run_version == 1)
        judge.expect(fits, "cmaf-cmf2", where, f"The run has version {fragment.run_version}, or relies on trex.")
    if init.kind == "video" and fragment.starts_with_key_picture is not None:
        detail = f"{fragment.wrong_flags} samples are marked wrongly."
        judge.expect(fragment.wrong_flags == 0, "cmaf-sample-flags", where, detail)
    if init.encrypted:
        whole = fragment.protected in (-1, 0, fragment.samples)
        detail = f"{fragment.protected} of {fragment.samples} samples are encrypted."
        judge.expect(whole, "cmaf-mixed-encryption", where, detail)


def _starts(tracks: list[Track], judge: Judge) -> None:
    starts = {
        track.where: Fraction(piece.measured.present_from - _skipped(track.init), track.init.timescale)
        for track in tracks
        if track.measurable and track.init is not None and (piece := track.pieces[0]).measured is not None
    }
    if len(starts) > 1:
        first, last = min(starts.values()), max(starts.values())
        where = max(starts, key=lambda name: starts[name])
        detail = f"It starts {float(last - first):.3f} s after others."
        judge.expect(last - first <= _TOGETHER, "cmaf-start-together", where, detail)


def _skipped(init: MeasuredInit) -> int:
    return max(0, init.edits[0][1]) if init.edits else 0
