"""Reads playlists of any kind and quality into values. What is wrong with the text is kept as complaints, not raised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from urllib.parse import urljoin

from packager.conformance.library import Span

MULTIVARIANT_TAGS = frozenset(
    {
        "EXT-X-MEDIA",
        "EXT-X-STREAM-INF",
        "EXT-X-I-FRAME-STREAM-INF",
        "EXT-X-IMAGE-STREAM-INF",
        "EXT-X-SESSION-DATA",
        "EXT-X-SESSION-KEY",
        "EXT-X-CONTENT-STEERING",
    }
)
MEDIA_TAGS = frozenset(
    {
        "EXTINF",
        "EXT-X-TARGETDURATION",
        "EXT-X-MEDIA-SEQUENCE",
        "EXT-X-DISCONTINUITY-SEQUENCE",
        "EXT-X-ENDLIST",
        "EXT-X-PLAYLIST-TYPE",
        "EXT-X-I-FRAMES-ONLY",
        "EXT-X-BYTERANGE",
        "EXT-X-DISCONTINUITY",
        "EXT-X-KEY",
        "EXT-X-MAP",
        "EXT-X-PART",
        "EXT-X-PART-INF",
        "EXT-X-SERVER-CONTROL",
        "EXT-X-GAP",
        "EXT-X-BITRATE",
        "EXT-X-PROGRAM-DATE-TIME",
    }
)
_LISTS = frozenset({"EXT-X-KEY", "EXT-X-MAP", "EXT-X-START", "EXT-X-DEFINE"}) | MULTIVARIANT_TAGS
_PAIR = re.compile(r'\s*([A-Z0-9-]+)=("[^"]*"|[^",\s][^",]*)\s*(,|$)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What is wrong at a line: the rule that it breaks, and what was seen."""

    rule: str
    line: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A tag with an attribute list, and for a variant the URL that follows it. ``values``: raw, strings in their quotes."""

    tag: str
    line: int
    values: dict[str, str]
    url: str | None = None

    def text(self, name: str) -> str | None:
        """The value without quotes; None where the attribute is missing."""
        value = self.values.get(name)
        return None if value is None else value.strip('"')

    def number(self, name: str) -> Fraction | None:
        return decimal(self.values.get(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A segment, or a part of a file that holds an I-frame, as a playlist names it."""

    uri: str
    url: str
    line: int
    seconds: Fraction | None
    span: Span | None = None
    map: tuple[str, Span | None] | None = None
    key: Entry | None = None
    map_key: Entry | None = None
    """The key that its init segment is under."""
    discontinuity: bool = False


@dataclass(slots=True, kw_only=True)
class Playlist:
    """A playlist as it was found. A file may have tags of both kinds: that is one of the complaints."""

    url: str
    complaints: list[Complaint] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    version: int = 1
    target_seconds: int | None = None
    media_sequence: int = 0
    playlist_type: str | None = None
    ended: bool = False
    iframes_only: bool = False
    independent: bool = False
    media: list[Entry] = field(default_factory=list)
    variants: list[Entry] = field(default_factory=list)
    iframe_variants: list[Entry] = field(default_factory=list)
    image_variants: list[Entry] = field(default_factory=list)
    session_keys: list[Entry] = field(default_factory=list)
    definitions: list[Entry] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)

    @property
    def is_multivariant(self) -> bool:
        return bool(self.tags & MULTIVARIANT_TAGS)

    @property
    def seconds(self) -> Fraction:
        return sum((piece.seconds or Fraction(0) for piece in self.pieces), Fraction(0))

    def at(self, line: int) -> str:
        return f"{self.url}:{line}"

    def complain(self, rule: str, line: int, detail: str) -> None:
        self.complaints.append(Complaint(rule=rule, line=line, detail=detail))


def decimal(text: str | None) -> Fraction | None:
    """A decimal number, or None where it is not one."""
    if text is None or not re.fullmatch(r"-?\d+(\.\d*)?", text.strip()):
        return None
    return Fraction(text.strip())


def parse_playlist(body: bytes, url: str) -> Playlist:
    """The playlist in ``body``, its URIs made absolute against ``url``."""
    playlist = Playlist(url=url)
    reader = _Reader(playlist)
    for number, line in _lines(body, playlist):
        reader.read(number, line)
    reader.finish()
    return playlist


def _lines(body: bytes, playlist: Playlist) -> Iterator[tuple[int, str]]:
    if body.startswith(b"\xef\xbb\xbf"):
        playlist.complain("hls-utf8", 1, "The file starts with a byte order mark.")
        body = body[3:]
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        playlist.complain("hls-utf8", 1 + body[: error.start].count(b"\n"), "This is not UTF-8.")
        text = body.decode(errors="replace")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    for number, line in enumerate(lines, start=1):
        if any((ord(letter) < 32 and letter != "\t") or ord(letter) == 127 for letter in line):
            playlist.complain("hls-line-ends", number, "There is a control character inside the line.")
    if lines[0].strip() != "#EXTM3U":
        playlist.complain("hls-first-line", 1, f"The first line is {lines[0][:40]!r}.")
    return ((number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip())


class _Reader:
    """What holds for the lines to come: the last EXTINF, byte range, map and key."""

    def __init__(self, playlist: Playlist) -> None:
        self._to = playlist
        self._seconds: Fraction | None = None
        self._span: tuple[int | None, int] | None = None  # offset, size
        self._map: tuple[str, Span | None] | None = None
        self._key: Entry | None = None
        self._map_key: Entry | None = None
        self._discontinuity = False
        self._variant: Entry | None = None
        self._ends: dict[str, int] = {}
        self._versions = 0

    def read(self, number: int, line: str) -> None:
        if not line.startswith("#"):
            self._uri(number, line)
        elif line.startswith("#EXT"):
            tag, _, value = line[1:].partition(":")
            self._to.tags.add(tag)
            if tag in _LISTS:
                self._entry(Entry(tag=tag, line=number, values=self._attributes(tag, number, value)))
            else:
                self._plain(tag, value, number)

    def finish(self) -> None:
        self._to.ended = "EXT-X-ENDLIST" in self._to.tags
        self._to.iframes_only = "EXT-X-I-FRAMES-ONLY" in self._to.tags
        self._to.independent = "EXT-X-INDEPENDENT-SEGMENTS" in self._to.tags
        if self._variant is not None:
            self._to.complain("hls-required-attributes", self._variant.line, "No URI follows this EXT-X-STREAM-INF.")
        kinds = (self._to.tags & MULTIVARIANT_TAGS, self._to.tags & MEDIA_TAGS)
        if all(kinds):
            self._to.complain("hls-mixed-kinds", 1, f"There are {min(kinds[0])} and {min(kinds[1])}.")

    def _attributes(self, tag: str, number: int, text: str) -> dict[str, str]:
        values: dict[str, str] = {}
        at = 0
        while at < len(text):
            found = _PAIR.match(text, at)
            if found is None:
                self._to.complain(
                    "hls-attribute-syntax", number, f"{tag} cannot be read from {text[at : at + 40]!r} on."
                )
                break
            name, value, _ = found.groups()
            if name in values:
                self._to.complain("hls-attribute-syntax", number, f"{name} stands twice.")
            values[name] = value
            at = found.end()
        return values

    def _plain(self, tag: str, value: str, number: int) -> None:
        to = self._to
        match tag:
            case "EXT-X-VERSION":
                self._versions += 1
                if self._versions > 1:
                    to.complain("hls-version-once", number, "This is not the first EXT-X-VERSION.")
                to.version = int(value) if value.isdigit() else 0
            case "EXT-X-TARGETDURATION":
                to.target_seconds = int(value) if value.isdigit() else None
            case "EXT-X-MEDIA-SEQUENCE":
                to.media_sequence = int(value) if value.isdigit() else 0
            case "EXT-X-PLAYLIST-TYPE":
                to.playlist_type = value
                if value not in ("VOD", "EVENT"):
                    to.complain("hls-enumerated-values", number, f"PLAYLIST-TYPE is {value!r}.")
            case "EXT-X-DISCONTINUITY":
                self._discontinuity = True
            case "EXTINF":
                self._seconds = decimal(value.partition(",")[0])
                if self._seconds is None:
                    to.complain("hls-extinf", number, f"{value!r} is not a duration.")
            case "EXT-X-BYTERANGE":
                self._span = _byte_range(value)
                if self._span is None:
                    to.complain("hls-attribute-syntax", number, f"{value!r} is not a byte range.")

    def _entry(self, entry: Entry) -> None:
        to = self._to
        uri = entry.text("URI")
        url = urljoin(to.url, uri) if uri else None
        if url:
            entry = Entry(tag=entry.tag, line=entry.line, values=entry.values, url=url)
        match entry.tag:
            case "EXT-X-MAP" if url:
                span = _byte_range(entry.text("BYTERANGE") or "")
                self._map = (url, (span[0] or 0, (span[0] or 0) + span[1]) if span else None)
                self._map_key = self._key
            case "EXT-X-KEY":
                self._key = entry if entry.text("METHOD") != "NONE" else None
            case "EXT-X-SESSION-KEY":
                to.session_keys.append(entry)
            case "EXT-X-DEFINE":
                to.definitions.append(entry)
            case "EXT-X-MEDIA":
                to.media.append(entry)
            case "EXT-X-STREAM-INF":
                self._variant = entry
            case "EXT-X-I-FRAME-STREAM-INF":
                to.iframe_variants.append(entry)
            case "EXT-X-IMAGE-STREAM-INF":
                to.image_variants.append(entry)

    def _uri(self, number: int, line: str) -> None:
        url = urljoin(self._to.url, line)
        if self._variant is not None:
            entry, self._variant = self._variant, None
            self._to.variants.append(Entry(tag=entry.tag, line=entry.line, values=entry.values, url=url))
            return
        if self._seconds is None:
            self._to.complain("hls-extinf", number, "No EXTINF precedes this URI.")
        span = None
        if self._span is not None:
            offset = self._ends.get(url, 0) if self._span[0] is None else self._span[0]
            span = (offset, offset + self._span[1])
            self._ends[url] = span[1]
        self._to.pieces.append(
            Piece(
                uri=line,
                url=url,
                line=number,
                seconds=self._seconds,
                span=span,
                map=self._map,
                key=self._key,
                map_key=self._map_key,
                discontinuity=self._discontinuity,
            )
        )
        self._seconds = self._span = None
        self._discontinuity = False


def _byte_range(text: str) -> tuple[int | None, int] | None:
    found = re.fullmatch(r"(\d+)(?:@(\d+))?", text.strip())
    if found is None:
        return None
    return (int(found[2]) if found[2] else None, int(found[1]))
