"""All rules as a page of the documentation, with what our own output does about each. ``python -m
packager.conformance.reference docs/reference/rules.md`` writes it; a test holds the page, and what it says, against the rules."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from packager.conformance.findings import Rule
from packager.conformance.rules import GROUPS

NOT_MET: Mapping[str, str] = {
    "hls-dense-iframes": "one picture in two seconds, which is every keyframe: more needs a rendition of its own",
    "hls-two-at-top": "one rate for each size: a second at the top would cost as much as all below it",
    "hls-peak-to-average": "depends on the film: rates are capped, and a film that is mostly still has a low average",
}
"""Shoulds that our output may break, by design. No must is among them."""

NOT_OURS: Mapping[str, str] = {
    "hls-sdr-fallback": "everything is made SDR",
    "hls-discontinuities": "there are none: chunks join without",
}
"""Rules that never find anything to apply to in what we write."""

NOT_ASKED: tuple[tuple[str, str, str, str], ...] = (
    (
        "dash-schema",
        "23009-1 annex B",
        "The MPD is valid by MPEG's schema.",
        "the schema is not ours to ship; our tests hold every kind of MPD of ours against it",
    ),
    (
        "hls-append-only",
        "Apple 8.8",
        "Nothing is taken out of a playlist of type EVENT.",
        "one reading cannot tell; property tests of ours do",
    ),
    (
        "same-bytes",
        "our own",
        "The same input gives the same bytes.",
        "one reading can only tell signs, which `deterministic` does; a test of ours packages twice",
    ),
    ("hls-live", "Apple 8.9 to 8.14", "Live playlists slide, and tell dates.", "nothing live is published"),
    ("hls-low-latency", "RFC 8216bis 4.4.3.7, 4.4.4.9", "Parts and preload hints.", "nothing live is published"),
    ("hls-skip", "RFC 8216bis 6.2.5", "Delta updates.", "a growing playlist is read whole"),
    ("hls-date-ranges", "RFC 8216bis 4.4.5.1", "EXT-X-DATERANGE is well-formed.", "there are no advertisements"),
    ("hls-session-data", "RFC 8216bis 4.4.6.4", "EXT-X-SESSION-DATA is well-formed.", "there is none"),
    ("hls-steering", "RFC 8216bis 4.4.6.6", "EXT-X-CONTENT-STEERING is well-formed.", "it stands in playlists for edges only"),
    ("hls-transport-stream", "Apple 8.21", "MPEG-2 TS is as Apple wants it.", "only fragmented MP4 is written and read"),
    ("hls-hevc", "Apple 1.5, 1.8, 1.22", "HEVC is `hvc1`, beside H.264.", "the ladder is H.264; parameter sets of both are read"),
    ("hls-dolby", "Apple 2.4 to 2.9", "Dolby Digital has AAC beside it.", "sound is AAC; `hls-stereo-aac` holds for anybody"),
    ("hls-imsc", "Apple 5.4, 5.7", "IMSC1 is in fMP4, with its codec.", "subtitles are WebVTT, which is the other choice"),
    ("hls-fairplay", "Apple 13.1 to 13.6", "FairPlay's keys and their security levels.", "there is no FairPlay to be had here"),
    ("hls-bumpers", "Apple 12", "Bumpers, chapters and interstitials.", "there are none"),
    ("decoded-pictures", "Apple 1.2 to 1.4", "Profiles and levels are those of the coded pictures.", "nothing is decoded"),
)  # fmt: skip
"""Rules of the same sources that are not asked of anybody: id, source, what it says, and why."""

_HEAD = """\
# Rules of `fishladder check`

<!-- Written by `python -m packager.conformance.reference docs/reference/rules.md`. -->

What [`fishladder check`](../how-to/check-a-stream.md) holds a stream against, {count} rules. Sources: *Apple n* is the HLS Authoring Specification for
Apple Devices by its numbers, *RFC 8216bis* the draft that follows RFC 8216, *DASH-IF timing* the restricted timing model of the interoperability
guidelines, *23009-1* DASH, *23000-19* CMAF, *23001-7* common encryption.

*Ours*: what Fishladder's own output does. **held**: a presentation of every kind (growing and finished, clear, encrypted in both ways,
with surround sound, descriptions, subtitles and captions) is held against the rule in the tests, and obeys it.
"""

_NOT_ASKED_HEAD = """\
## Not asked
Rules of the same sources that are asked of nobody.

| rule | source | what it says | why it is not asked |
|---|---|---|---|
"""


def render_reference() -> str:
    """The page, as Markdown."""
    count = sum(len(rules) for rules in GROUPS.values())
    lines = [_HEAD.format(count=count)]
    for title, rules in GROUPS.items():
        lines += [f"## {title}\n", "| rule | | source | what holds | what to do | does not apply where | ours |"]
        lines += ["|---|---|---|---|---|---|---|", *map(_row, rules), ""]
    lines.append(_NOT_ASKED_HEAD + "\n".join(_not_asked()))
    return "\n".join(lines) + "\n"


def _row(rule: Rule) -> str:
    return f"| `{rule.id}` | {rule.severity} | {rule.source} | {rule.says} | {rule.remedy} | {rule.needs} | {_ours(rule)} |"


def _ours(rule: Rule) -> str:
    if rule.id in NOT_MET:
        return f"not always: {NOT_MET[rule.id]}"
    if rule.id in NOT_OURS:
        return f"does not apply: {NOT_OURS[rule.id]}"
    return "**held**"


def _not_asked() -> Iterator[str]:
    for name, source, says, why in NOT_ASKED:
        yield f"| `{name}` | {source} | {says} | {why} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render_reference())
