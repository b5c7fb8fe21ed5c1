"""Rules about multivariant playlists: what they state of their variants, held against what was measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from packager.bit_rates import NOTHING, BitRates
from packager.conformance.findings import Judge
from packager.conformance.playlists import Entry, Playlist
from packager.conformance.rates import track_rates, within_tenth
from packager.conformance.subject import Subject, Track

_FORBIDDEN_ON_IFRAMES = ("FRAME-RATE", "AUDIO", "SUBTITLES", "CLOSED-CAPTIONS")
_GROUPS = ("AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS")
_MOST_FPS = 60
_ROUNDED_FPS = Fraction(1, 2000)  # FRAME-RATE has three decimals
_FIRST_BPS = 2_000_000
_SMALL_SIDE = 240  # Apple recommends no rung below 234 lines
_STEREO = 2
_RANGES = {16: "PQ", 18: "HLG"}
_DESCRIBES_VIDEO = "public.accessibility.describes-video"
_FOR_DEAF = frozenset(
    {"public.accessibility.transcribes-spoken-dialog", "public.accessibility.describes-music-and-sound"}
)


def judge_multivariants(subject: Subject, judge: Judge) -> None:
    for playlist in subject.multivariants:
        _variants(subject, playlist, judge)
        _list(subject, playlist, judge)
        _iframe_variants(subject, playlist, judge)
        _groups(subject, playlist, judge)
        _rates(subject, playlist, judge)


def _is_video(entry: Entry) -> bool:
    codecs = (entry.text("CODECS") or "").split(",")
    return "RESOLUTION" in entry.values or any(codec[:4] in _VIDEO_CODECS for codec in codecs)


_VIDEO_CODECS = frozenset({"avc1", "avc3", "hvc1", "hev1", "vp09", "av01", "dvh1", "dvhe"})


def _variants(subject: Subject, playlist: Playlist, judge: Judge) -> None:
    for entry in playlist.variants:
        where = playlist.at(entry.line)
        track = subject.tracks.get(entry.url or "")
        stated_codecs = entry.text("CODECS")
        judge.expect(stated_codecs is not None, "hls-codecs-present", where, "There is no CODECS.")
        judge.expect(
            "AVERAGE-BANDWIDTH" in entry.values, "hls-average-present", where, "There is no AVERAGE-BANDWIDTH."
        )
        peak, average = entry.number("BANDWIDTH"), entry.number("AVERAGE-BANDWIDTH")
        if peak is not None and average is not None:
            judge.expect(
                peak >= average, "hls-bandwidth-order", where, f"BANDWIDTH {peak} is below the average {average}."
            )
            detail = f"The peak of {peak} bit/s is over twice the average of {average}."
            judge.expect(peak <= 2 * average, "hls-peak-to-average", where, detail)
        video = _is_video(entry) or (track is not None and track.kind == "video")
        if video:
            judge.expect("RESOLUTION" in entry.values, "hls-resolution-present", where, "There is no RESOLUTION.")
            judge.expect("FRAME-RATE" in entry.values, "hls-frame-rate-present", where, "There is no FRAME-RATE.")
            rate = entry.number("FRAME-RATE")
            if rate is not None:
                detail = f"FRAME-RATE is {float(rate):.3f}."
                judge.expect(rate <= _MOST_FPS, "hls-max-frame-rate", where, detail)
        if track is not None and track.init is not None and track.init.problem is None:
            _against_init(subject, playlist, entry, track, judge)
        if track is not None and track.measurable and track.kind == "video" and entry.number("FRAME-RATE") is not None:
            _frame_rate(entry, track, where, judge)


def _against_init(subject: Subject, playlist: Playlist, entry: Entry, track: Track, judge: Judge) -> None:
    where = playlist.at(entry.line)
    init = track.init
    assert init is not None
    stated = (entry.text("CODECS") or "").split(",")
    if entry.text("CODECS") is not None:
        _codecs(stated, track, where, judge)
        group = entry.text("AUDIO")
        for media in playlist.media:
            other = subject.tracks.get(media.url or "")
            if media.text("TYPE") == "AUDIO" and media.text("GROUP-ID") == group and other is not None:
                _codecs(stated, other, where, judge)
    if init.kind == "video" and entry.text("RESOLUTION"):
        _resolution(entry, track, where, judge)
    if init.kind == "video":
        wanted = _RANGES.get(init.transfer or 1, "SDR")
        value = entry.text("VIDEO-RANGE") or "SDR"
        judge.expect(value == wanted, "hls-video-range", where, f"VIDEO-RANGE is {value}, the pictures are {wanted}.")


def _codecs(stated: Sequence[str], track: Track, where: str, judge: Judge) -> None:
    init = track.init
    if init is None or init.problem is not None:
        return
    if "." in init.codecs:
        holds = init.codecs.lower() in (codec.strip().lower() for codec in stated)
    else:
        holds = any(codec.strip()[:4].lower() == init.entry.lower()[:4] for codec in stated)
    judge.expect(holds, "hls-codecs-match", where, f"The track is {init.codecs}, CODECS are {','.join(stated)}.")


def _resolution(entry: Entry, track: Track, where: str, judge: Judge) -> None:
    assert track.init is not None
    size = f"{track.init.width}x{track.init.height}"
    stated = entry.text("RESOLUTION")
    coded = f"{track.init.coded_width}x{track.init.coded_height}"
    judge.expect(stated in (size, coded), "hls-resolution-match", where, f"RESOLUTION is {stated}, the track {size}.")


def _frame_rate(entry: Entry, track: Track, where: str, judge: Judge) -> None:
    assert track.init is not None
    pictures = sum(
        fragment.samples for piece in track.pieces if piece.measured for fragment in piece.measured.fragments
    )
    seconds = sum((track.seconds(piece) for piece in track.pieces), Fraction(0))
    measured = Fraction(pictures) / seconds if seconds else Fraction(0)
    stated = entry.number("FRAME-RATE") or Fraction(0)
    # Sources with a changing rate state the highest; a rate that no picture reaches is wrong, as is one that is exceeded.
    shortest = track.frame_seconds()
    highest = 1 / shortest if shortest else measured
    close = any(abs(stated - rate) <= max(rate / 500, _ROUNDED_FPS) for rate in (measured, highest))
    judge.expect(
        close, "hls-frame-rate-match", where, f"FRAME-RATE is {float(stated):.3f}, measured {float(measured):.3f}."
    )


def _list(subject: Subject, playlist: Playlist, judge: Judge) -> None:
    variants, url = playlist.variants, playlist.url
    video = [entry for entry in variants if _is_video(entry)]
    if video:
        _several(video, url, judge)
        judge.expect(
            bool(playlist.iframe_variants), "hls-iframe-playlists", url, "There is no EXT-X-I-FRAME-STREAM-INF."
        )
        own = [subject.playlists[entry.url] for entry in video if entry.url in subject.playlists]
        independent = playlist.independent or (bool(own) and all(each.independent for each in own))
        judge.expect(independent, "hls-independent-segments", url, "EXT-X-INDEPENDENT-SEGMENTS is missing.")
    ranges = {entry.text("VIDEO-RANGE") or "SDR" for entry in video}
    if ranges & {"PQ", "HLG"}:
        judge.expect("SDR" in ranges, "hls-sdr-fallback", url, f"All variants are {', '.join(sorted(ranges))}.")
        stated = all("VIDEO-RANGE" in entry.values for entry in video)
        judge.expect(stated, "hls-video-range", url, "There is HDR, and not every variant states its range.")
    scores = ["SCORE" in entry.values for entry in variants]
    if scores:
        judge.expect(all(scores) or not any(scores), "hls-score", url, "Some variants have SCORE and some have not.")


def _several(video: Sequence[Entry], url: str, judge: Judge) -> None:
    found = [re.fullmatch(r"(\d+)x(\d+)", entry.text("RESOLUTION") or "") for entry in video]
    sizes = [(int(size[1]), int(size[2])) for size in found if size is not None]
    heights = [height for _, height in sizes]
    top = max(heights, default=0)
    if len(video) == 1 and sizes and 0 < min(sizes[0]) <= _SMALL_SIDE:
        for rule in ("hls-two-variants", "hls-two-at-top"):
            judge.set_aside(rule, "The pictures are too small for a second rung.")
    else:
        judge.expect(len(video) >= 2, "hls-two-variants", url, "There is one variant.")
        judge.expect(heights.count(top) >= 2, "hls-two-at-top", url, f"One variant has {top} lines.")
    rates = [rate for entry in video if (rate := entry.number("FRAME-RATE")) is not None]
    if rates:
        detail = f"FRAME-RATE is {float(min(rates)):.3f} in one, {float(max(rates)):.3f} in another."
        judge.expect(4 * min(rates) >= max(rates), "hls-trick-variant", url, detail)
    _first(video, url, judge)


def _first(video: Sequence[Entry], url: str, judge: Judge) -> None:
    """Variants of the same pictures with other sound are one choice: it costs what the cheapest of them does."""
    costs: dict[str, Fraction] = {}
    for entry in video:
        peak = entry.number("BANDWIDTH")
        if peak is not None:
            costs[entry.url or ""] = min(peak, costs.get(entry.url or "", peak))
    if len(costs) > 1:
        peaks = list(costs.values())
        nearest = min(peaks, key=lambda peak: abs(peak - _FIRST_BPS))
        within = [peak for peak in peaks if peak <= _FIRST_BPS]
        good = peaks[0] in (nearest, max(within, default=min(peaks)))
        judge.expect(
            good, "hls-first-variant", url, f"The first variant has {peaks[0]} bit/s; {nearest} would be nearer."
        )


def _iframe_variants(subject: Subject, playlist: Playlist, judge: Judge) -> None:
    for entry in playlist.iframe_variants:
        where = playlist.at(entry.line)
        judge.expect("CODECS" in entry.values, "hls-codecs-present", where, "There is no CODECS.")
        judge.expect("RESOLUTION" in entry.values, "hls-resolution-present", where, "There is no RESOLUTION.")
        present = [name for name in _FORBIDDEN_ON_IFRAMES if name in entry.values]
        judge.expect(not present, "hls-iframe-attributes", where, f"It has {', '.join(present)}.")
        peak, average = entry.number("BANDWIDTH"), entry.number("AVERAGE-BANDWIDTH")
        if peak is not None and average is not None:
            judge.expect(
                peak >= average, "hls-bandwidth-order", where, f"BANDWIDTH {peak} is below the average {average}."
            )
        track = subject.tracks.get(entry.url or "")
        if track is not None and track.init is not None and track.init.problem is None:
            if entry.text("CODECS") is not None:
                _codecs((entry.text("CODECS") or "").split(","), track, where, judge)
            if entry.text("RESOLUTION"):
                _resolution(entry, track, where, judge)


def _groups(subject: Subject, playlist: Playlist, judge: Judge) -> None:
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in playlist.media:
        groups.setdefault((entry.text("TYPE") or "", entry.text("GROUP-ID") or ""), []).append(entry)
    for entry in playlist.variants:
        for kind in _GROUPS:
            name = entry.values.get(kind)
            if name is not None and name != "NONE":
                exists = (kind, name.strip('"')) in groups
                judge.expect(
                    exists, "hls-group-exists", playlist.at(entry.line), f"There is no group {name} of {kind}."
                )
    for (kind, name), members in groups.items():
        where = playlist.at(members[0].line)
        names = [member.text("NAME") for member in members]
        twice = ", ".join(sorted({str(each) for each in names if names.count(each) > 1}))
        judge.expect(not twice, "hls-group-names", where, f"{kind} {name} has more than one {twice}.")
        defaults = sum(member.text("DEFAULT") == "YES" for member in members)
        judge.expect(defaults <= 1, "hls-group-default", where, f"{kind} {name} has {defaults} defaults.")
        if kind == "AUDIO":
            _apart(playlist, members, judge)
            judge.expect(defaults > 0, "hls-default-rendition", where, f"{kind} {name} has no default.")
    for entry in playlist.media:
        _rendition(playlist, entry, judge)
    _sound(subject, playlist, judge)


def _apart(playlist: Playlist, members: Sequence[Entry], judge: Judge) -> None:
    """A variant's own files may hold one rendition, which then has no URI: not surround sound, and no choice."""
    inside = [member for member in members if "URI" not in member.values]
    for number, member in enumerate(inside):
        channels = (member.text("CHANNELS") or "").partition("/")[0]
        wide = channels.isdigit() and int(channels) > _STEREO
        detail = "It has no URI: it is mixed into the variants, and so is another." if number else ""
        detail = "It has no URI, and more than two channels." if wide else detail
        judge.expect(not detail, "hls-audio-apart", playlist.at(member.line), detail)
    if not inside:
        judge.expect(True, "hls-audio-apart", playlist.url)


def _rendition(playlist: Playlist, entry: Entry, judge: Judge) -> None:
    where = playlist.at(entry.line)
    chosen = entry.text("AUTOSELECT")
    if entry.text("DEFAULT") == "YES":
        judge.expect(chosen != "NO", "hls-default-autoselect", where, "It is the default, and AUTOSELECT is NO.")
    if entry.text("TYPE") != "VIDEO":
        judge.expect(bool(entry.text("LANGUAGE")), "hls-language", where, "There is no LANGUAGE.")
    characteristics = {each.strip() for each in (entry.text("CHARACTERISTICS") or "").split(",")}
    if _DESCRIBES_VIDEO in characteristics or characteristics & _FOR_DEAF:
        judge.expect(chosen == "YES", "hls-characteristics", where, "AUTOSELECT is not YES.")
    if entry.text("TYPE") == "SUBTITLES" and characteristics & _FOR_DEAF:
        missing = ", ".join(sorted(_FOR_DEAF - characteristics))
        judge.expect(not missing, "hls-characteristics", where, f"There is no {missing}.")
    if entry.text("FORCED") == "YES":
        judge.expect(chosen == "YES", "hls-forced-autoselect", where, "AUTOSELECT is not YES.")


def _sound(subject: Subject, playlist: Playlist, judge: Judge) -> None:
    sounds: list[Track] = []
    for entry in playlist.media:
        track = subject.tracks.get(entry.url or "")
        if entry.text("TYPE") == "AUDIO" and track is not None and track.kind == "audio" and track.init is not None:
            sounds.append(track)
            stated = (entry.text("CHANNELS") or "").partition("/")[0]
            same = stated == str(track.init.channels)
            detail = f"CHANNELS is {stated or 'missing'}, the track has {track.init.channels}."
            judge.expect(same, "hls-channels", playlist.at(entry.line), detail)
    sounds += [
        track for entry in playlist.variants if (track := subject.tracks.get(entry.url or "")) and track.kind == "audio"
    ]
    if sounds:
        stereo = any(
            track.init is not None and track.init.entry == "mp4a" and track.init.channels <= 2 for track in sounds
        )
        judge.expect(stereo, "hls-stereo-aac", playlist.url, "No audio rendition is AAC with two channels or one.")


def _rates(subject: Subject, playlist: Playlist, judge: Judge) -> None:
    """BANDWIDTH and AVERAGE-BANDWIDTH against every combination of the variant with renditions of its groups."""
    for entry in playlist.variants:
        track = subject.tracks.get(entry.url or "")
        media = subject.playlists.get(entry.url or "")
        if track is None or media is None or not track.measurable or not media.target_seconds:
            continue
        target = media.target_seconds
        own = track_rates(track, target_seconds=target)
        others = [
            track_rates(other, target_seconds=target)
            for each in playlist.media
            if each.text("TYPE") == "AUDIO" and each.text("GROUP-ID") == entry.text("AUDIO")
            if (other := subject.tracks.get(each.url or "")) is not None and other.measurable and other is not track
        ]
        _compare(entry, playlist.at(entry.line), own, others, judge)


def _compare(entry: Entry, where: str, own: BitRates, others: Sequence[BitRates], judge: Judge) -> None:
    peaks = sorted({own.peak_bps + each.peak_bps for each in others or [NOTHING]})
    averages = sorted({own.average_bps + each.average_bps for each in others or [NOTHING]})
    stated, average = entry.number("BANDWIDTH"), entry.number("AVERAGE-BANDWIDTH")
    if average is not None:
        good = any(within_tenth(int(average), measured) for measured in averages)
        judge.expect(good, "hls-average-measured", where, f"It is {average}; measured {averages[-1]} bit/s.")
    if stated is None:
        return
    if within_tenth(int(stated), peaks[-1]) or not any(
        within_tenth(int(stated), peak) for peak in (own.peak_bps, *peaks)
    ):
        detail = f"It is {stated}; measured {peaks[-1]} bit/s."
        judge.expect(within_tenth(int(stated), peaks[-1]), "hls-peak-measured", where, detail)
        judge.expect(True, "hls-bandwidth-combination", where)
    else:
        detail = f"It is {stated}; with the costliest audio it is {peaks[-1]} bit/s."
        judge.expect(False, "hls-bandwidth-combination", where, detail)
