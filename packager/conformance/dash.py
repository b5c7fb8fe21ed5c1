"""Rules about MPDs: attributes, timing, addressing, and what is stated of the media."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from packager.conformance.findings import Judge
from packager.conformance.init_segments import MeasuredInit
from packager.conformance.mpds import AdaptationSet, Mpd, Period, Representation, duration_seconds
from packager.conformance.rates import underruns
from packager.conformance.subject import Subject, Track, TrackPiece

_TILE = "thumbnail_tile"
_LARGEST = 2**53
_CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
_PROTECTION = "urn:mpeg:dash:mp4protection:2011"


def judge_dash(subject: Subject, judge: Judge) -> None:
    for mpd in subject.mpds:
        if not judge.expect(mpd.problem is None, "dash-well-formed", mpd.url, mpd.problem or ""):
            continue
        _attributes(mpd, judge)
        for number, period in enumerate(mpd.periods):
            _period(subject, mpd, number, period, judge)


def _is_trick(each: AdaptationSet) -> bool:
    return any(representation.trick_of is not None for representation in each.representations)


def _trick_sets(subject: Subject, mpd: Mpd, number: int, period: Period, judge: Judge) -> None:
    ids = {each.attributes.get("id") for each in period.sets if not _is_trick(each)}
    for each in period.sets:
        for representation in each.representations:
            if representation.trick_of is None:
                continue
            where = f"{mpd.url}#{representation.id}"
            named = set(representation.trick_of.split())
            judge.expect(named <= ids, "dash-trick-main", where, f"It is of {representation.trick_of}.")
            track = subject.trick_tracks.get((mpd.url, number, representation.id))
            wrong = [piece.url for piece in track.pieces if not _is_picture(piece)] if track is not None else []
            detail = f"{len(wrong)} are not one keyframe, such as one of {wrong[0]}." if wrong else ""
            judge.expect(not wrong, "dash-trick-pictures", where, detail)


def _is_picture(piece: TrackPiece) -> bool:
    measured = piece.measured
    if measured is None or measured.problem is not None or len(measured.fragments) != 1:
        return False
    (fragment,) = measured.fragments
    return fragment.samples == 1 and fragment.starts_with_sync and fragment.outside == 0


def _attributes(mpd: Mpd, judge: Judge) -> None:
    url, attributes = mpd.url, mpd.attributes
    judge.expect("profiles" in attributes, "dash-profiles", url, "There is no @profiles.")
    judge.expect("minBufferTime" in attributes, "dash-min-buffer-time", url, "There is no @minBufferTime.")
    judge.expect(
        not mpd.forbidden, "dash-forbidden-attributes", url, f"There is {', '.join(sorted(set(mpd.forbidden)))}."
    )
    judge.expect(mpd.largest_number < _LARGEST, "dash-numbers", url, f"There is {mpd.largest_number}.")
    durations = [
        (name, text) for name, text in attributes.items() if name.endswith(("Duration", "Time", "Period", "Depth"))
    ]
    for name, text in durations:
        if text.startswith("P"):
            judge.expect(not re.match(r"P[^T]*[YM]", text), "dash-seconds", url, f"@{name} is {text}.")
    if mpd.static:
        known = "mediaPresentationDuration" in attributes or all("duration" in each.attributes for each in mpd.periods)
        judge.expect(known, "dash-static-duration", url, "There is no @mediaPresentationDuration.")
        if mpd.periods:
            start = duration_seconds(mpd.periods[0].attributes.get("start", "PT0S"))
            judge.expect(
                start == 0, "dash-period-start", url, f"It starts at {mpd.periods[0].attributes.get('start')}."
            )
    else:
        missing = [name for name in ("availabilityStartTime", "publishTime") if name not in attributes]
        judge.expect(not missing, "dash-dynamic-attributes", url, f"There is no @{' nor @'.join(missing)}.")


def _period(subject: Subject, mpd: Mpd, number: int, period: Period, judge: Judge) -> None:
    ids = [representation.id for each in period.sets for representation in each.representations]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    judge.expect(not twice, "dash-unique-ids", mpd.url, f"{', '.join(twice)} stands more than once.")
    kinds = [each.kind for each in period.sets if not _is_trick(each)]
    for each in period.sets:
        where = f"{mpd.url}, {each.name}"
        _accessibility(subject, mpd, number, each, where, judge)
        _set(each, where, several=kinds.count(each.kind) > 1, judge=judge)
        if each.kind == "image":
            _images(period, each, where, judge)
            continue
        tracks = [
            (representation, subject.dash_tracks.get((mpd.url, number, representation.id)))
            for representation in each.representations
        ]
        for representation, track in tracks:
            _representation(mpd, period, representation, track, judge)
        _alignment(each, [track for _, track in tracks if track is not None], where, judge)
    _trick_sets(subject, mpd, number, period, judge)
    _ends(mpd, period, [subject.dash_tracks.get((mpd.url, number, name)) for name in ids], judge)


def _set(each: AdaptationSet, where: str, *, several: bool, judge: Judge) -> None:
    if each.kind in ("audio", "text"):
        judge.expect("lang" in each.attributes, "dash-language", where, "There is no @lang.")
    if each.kind in ("video", "audio", "text") and several:
        roles = any(descriptor.tag == "Role" for descriptor in each.descriptors)
        judge.expect(roles, "dash-role", where, "There is no Role.")
    if each.kind in ("video", "audio"):
        attributes = [each.attributes, *(representation.attributes for representation in each.representations)]
        aligned = any({"segmentAlignment", "subsegmentAlignment"} & set(one) for one in attributes)
        judge.expect(aligned, "dash-alignment-stated", where, "There is no @segmentAlignment.")
        starts = any({"startWithSAP", "subsegmentStartsWithSAP"} & set(one) for one in attributes)
        judge.expect(starts, "dash-sap-stated", where, "There is no @startWithSAP.")
    kinds: set[frozenset[str]] = {representation.addressing for representation in each.representations}
    named = ", ".join(sorted({name for kind in kinds for name in kind}))
    one_way = len(kinds) <= 1 and all(len(kind) <= 1 for kind in kinds)
    judge.expect(one_way, "dash-one-addressing", where, f"There are {named}.")
    if each.kind == "text":
        for representation in each.representations:
            raw = representation.init is None and representation.addressing & {"SegmentList", "SegmentTemplate"}
            judge.expect(not raw, "dash-text-segments", f"{where}, {representation.id}", "Raw text comes in segments.")


def _accessibility(subject: Subject, mpd: Mpd, number: int, each: AdaptationSet, where: str, judge: Judge) -> None:
    """What HLS says of the same files holds here too."""
    roles = {one.value for one in each.descriptors if one.tag == "Role"}
    tracks = [subject.dash_tracks.get((mpd.url, number, one.id)) for one in each.representations]
    described = subject.described_inits()
    named = any(track is not None and track.init_url in described for track in tracks)
    if named or roles & {"description", "caption"}:
        told = any(one.tag == "Accessibility" for one in each.descriptors)
        judge.expect(told, "dash-accessibility", where, "There is no Accessibility.")


def _representation(
    mpd: Mpd, period: Period, representation: Representation, track: Track | None, judge: Judge
) -> None:
    where = f"{mpd.url}#{representation.id}"
    attributes = representation.attributes
    judge.expect("bandwidth" in attributes, "dash-bandwidth-present", where, "There is no @bandwidth.")
    if representation.kind in ("video", "audio"):
        judge.expect("codecs" in attributes, "dash-codecs-present", where, "There is no @codecs.")
    rate = attributes.get("frameRate", "")
    if "/" in rate and rate.replace("/", "", 1).isdigit():
        top, bottom = map(int, rate.split("/"))
        reduced = bottom != 0 and (Fraction(top, bottom).numerator, Fraction(top, bottom).denominator) == (top, bottom)
        judge.expect(reduced, "dash-frame-rate-reduced", where, f"@frameRate is {rate}.")
    if representation.addressing & {"SegmentList", "SegmentTemplate"}:
        judge.expect(representation.timescale is not None, "dash-timescale-present", where, "There is no @timescale.")
    if representation.timed:
        judge.expect(not representation.gaps, "dash-gaps", where, "; ".join(representation.gaps[:3]))
        if representation.named is not None:
            detail = f"There are {representation.named} SegmentURLs for {representation.times} times."
            judge.expect(representation.named == representation.times, "dash-segment-pairs", where, detail)
    if track is None or not track.pieces:
        return
    limit = duration_seconds(mpd.attributes.get("maxSegmentDuration"))
    if limit is not None:
        longest = max(piece.seconds for piece in track.pieces)
        detail = f"A segment lasts {float(longest):.3f} s."
        judge.expect(longest <= limit, "dash-max-segment", where, detail)
    if mpd.static and period.seconds is not None:
        _cover(representation, track, period.seconds, where, judge)
    if track.init is not None and track.init.problem is None:
        _stated(representation, track, track.init, where, judge)
        _protection(representation, track.init, where, judge)
    if track.measurable:
        _times(representation, track, where, judge)
        _bandwidth(mpd, representation, track, where, judge)


def _cover(representation: Representation, track: Track, seconds: Fraction, where: str, judge: Judge) -> None:
    timescale = representation.timescale or (track.init.timescale if track.init else 1)
    first, last = track.pieces[0], track.pieces[-1]
    start = Fraction(first.start_ticks or 0, timescale)
    stop = Fraction((last.start_ticks or 0) + (last.duration_ticks or 0), timescale)
    frame = track.frame_seconds() or Fraction(1, 20)
    # Sound ends on a whole frame of its own: a fraction of one may miss (the last picture is shorter), or be too much.
    detail = f"It lasts from {float(start):.3f} to {float(stop):.3f} s of {float(seconds):.3f} s."
    judge.expect(start <= frame and stop >= seconds - frame, "dash-covers-period", where, detail)
    begins = Fraction(last.start_ticks or 0, timescale)
    ended = Fraction((first.start_ticks or 0) + (first.duration_ticks or 0), timescale)
    judge.expect(begins < seconds and ended > 0, "dash-surplus", where, detail)


def _ends(mpd: Mpd, period: Period, tracks: Sequence[Track | None], judge: Judge) -> None:
    """The longest track ends where the period is said to end, within a frame of its own."""
    if not mpd.static or period.seconds is None or len(mpd.periods) != 1:
        return
    known = [track for track in tracks if track is not None and track.measurable]
    if not known:
        return
    lengths = [sum((track.seconds(piece) for piece in track.pieces), Fraction(0)) for track in known]
    slack = max((frame for track in known if (frame := track.frame_seconds())), default=Fraction(1, 20))
    off = min((length - period.seconds for length in lengths), key=abs)
    detail = f"{float(period.seconds):.3f} s are stated, media lasts {float(max(lengths)):.3f} s."
    judge.expect(abs(off) <= slack, "dash-duration-accurate", mpd.url, detail)


def _stated(representation: Representation, track: Track, init: MeasuredInit, where: str, judge: Judge) -> None:
    attributes = representation.attributes
    stated = attributes.get("codecs")
    if stated is not None:
        same = (
            stated.lower() == init.codecs.lower()
            if "." in init.codecs
            else stated[:4].lower() == init.entry[:4].lower()
        )
        judge.expect(same, "dash-codecs-match", where, f"@codecs is {stated}, the track {init.codecs}.")
    if init.kind == "video" and "width" in attributes:
        size = (attributes.get("width"), attributes.get("height"))
        sizes = ((str(init.coded_width), str(init.coded_height)), (str(init.width), str(init.height)))
        judge.expect(
            size in sizes, "dash-size-match", where, f"It states {size[0]}x{size[1]}, not {init.width}x{init.height}."
        )
    if representation.timescale is not None:
        same = representation.timescale == init.timescale
        # A multiple is as exact; ffmpeg and some livestreams use microseconds, which is not.
        detail = f"@timescale is {representation.timescale}, the media's {init.timescale}."
        judge.expect(same, "dash-timescale-match", where, detail)
    if init.kind == "audio" and init.channels:
        values = [each.value for each in representation.descriptors if each.scheme == _CHANNELS]
        wanted = "7" if init.channels == 8 else str(init.channels)
        detail = f"It states {values[0] if values else 'nothing'}, the track has {init.channels}."
        judge.expect(wanted in values, "dash-channels", where, detail)
    frame = track.frame_seconds()
    rate = attributes.get("frameRate", "")
    if init.kind == "video" and frame and re.fullmatch(r"\d+(/[1-9]\d*)?", rate):
        same = abs(Fraction(rate) * frame - 1) < Fraction(1, 500)
        judge.expect(
            same, "dash-frame-rate-match", where, f"@frameRate is {rate}, the pictures are 1/{float(frame):.5f} s."
        )


def _times(representation: Representation, track: Track, where: str, judge: Judge) -> None:
    assert track.init is not None
    if not representation.timed or representation.timescale != track.init.timescale:
        return
    frame = track.frame_seconds() or Fraction(0)
    slack = frame * track.init.timescale / 2
    wrong = next(_wrong_times(representation, track, slack), None)
    judge.expect(wrong is None, "dash-timeline-match", where, wrong or "")


def _wrong_times(representation: Representation, track: Track, slack: Fraction) -> Iterator[str]:
    assert track.init is not None
    skipped = max(0, track.init.edits[0][1]) if track.init.edits else 0
    for number, piece in enumerate(track.pieces):
        assert piece.measured is not None
        stated = (piece.start_ticks or 0) + representation.offset_ticks
        # Presentation starts where decoding does but for the delay of reordering, and for what an edit list skips.
        near = {piece.measured.start_ticks or 0, piece.measured.present_from}
        near |= {real - skipped for real in near}
        if min(abs(stated - real) for real in near) > slack and not (number == 0 and stated <= skipped):
            yield f"Segment {number} is stated at {stated}, and is at {piece.measured.present_from}."
        lasts = {piece.measured.duration_ticks, piece.measured.duration_ticks - (skipped if number == 0 else 0)}
        if min(abs((piece.duration_ticks or 0) - real) for real in lasts) > slack:
            yield f"Segment {number} is stated as {piece.duration_ticks}, and lasts {piece.measured.duration_ticks}."


def _bandwidth(mpd: Mpd, representation: Representation, track: Track, where: str, judge: Judge) -> None:
    stated = representation.attributes.get("bandwidth", "")
    buffer = duration_seconds(mpd.attributes.get("minBufferTime"))
    if not stated.isdigit() or buffer is None:
        return
    late = next(underruns(track, bandwidth=int(stated), buffer_seconds=buffer), None)
    detail = "" if late is None else f"At {stated} bit/s the segment at {float(late):.1f} s comes too late."
    judge.expect(late is None, "dash-bandwidth-measured", where, detail)


def _protection(representation: Representation, init: MeasuredInit, where: str, judge: Judge) -> None:
    if not init.encrypted:
        return
    found = [
        each for each in representation.descriptors if each.tag == "ContentProtection" and each.scheme == _PROTECTION
    ]
    kids = [each.default_kid.replace("-", "").lower() for each in found if each.default_kid]
    same = init.key_id in kids and all(each.value == init.scheme for each in found)
    judge.expect(same, "dash-content-protection", where, f"It states {kids or 'no key id'}, the track {init.key_id}.")


def _alignment(each: AdaptationSet, tracks: Sequence[Track], where: str, judge: Judge) -> None:
    if each.attributes.get("segmentAlignment") == "true" and len(tracks) > 1:
        first = tracks[0].starts()
        for track in tracks[1:]:
            same = len(first) == len(track.starts()) and all(
                abs(left - right) < Fraction(1, 1000) for left, right in zip(first, track.starts(), strict=True)
            )
            judge.expect(same, "dash-alignment", track.where, f"Its boundaries differ from those of {tracks[0].where}.")
    for track in tracks:
        if each.attributes.get("startWithSAP") == "1" and track.kind == "video" and track.measurable:
            wrong = [
                piece.url
                for piece in track.pieces
                if piece.measured is not None and not piece.measured.fragments[0].starts_with_sync
            ]
            judge.expect(not wrong, "dash-sap", where, f"{wrong[0] if wrong else ''} starts with no keyframe.")


def _images(period: Period, each: AdaptationSet, where: str, judge: Judge) -> None:
    for representation in each.representations:
        tiles = [one for one in representation.descriptors if one.scheme.endswith(_TILE)]
        good = each.attributes.get("contentType") == "image" and any(
            re.fullmatch(r"\d+x\d+", one.value) for one in tiles
        )
        judge.expect(good, "dash-image-tiles", where, "The grid of tiles or contentType is missing.")
        if representation.references and period.seconds is not None and representation.timescale:
            last = representation.references[-1]
            covered = Fraction(last.start_ticks + last.duration_ticks, representation.timescale)
            detail = f"Tiles end at {float(covered):.1f} s of {float(period.seconds):.1f} s."
            judge.expect(covered >= period.seconds - 1, "dash-image-cover", where, detail)
