"""Fetches and measures everything that a presentation names, once each, and keeps the facts. Nothing is judged here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from itertools import accumulate

from packager.conformance.init_segments import MeasuredInit, measure_init
from packager.conformance.library import Answer, Library, Span
from packager.conformance.measured import (
    MeasuredSegment,
    measure_segment,
    parse_index,
)
from packager.conformance.mpds import Mpd, Reference, Representation, parse_mpd
from packager.conformance.playlists import Entry, Piece, Playlist, parse_playlist
from packager.encryption import decrypted_whole


class Role(StrEnum):
    """What a media playlist is for."""

    VARIANT = "variant"
    AUDIO = "audio"
    SUBTITLES = "subtitles"
    VIDEO = "video"
    IFRAMES = "iframes"
    IMAGES = "images"


class FileKind(StrEnum):
    PLAYLIST = "playlist"
    MPD = "mpd"
    INIT = "init"
    SEGMENT = "segment"
    TEXT = "text"
    IMAGE = "image"
    KEY = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """How a URL was answered; its bytes are not kept. ``named_at``: where it was named first."""

    url: str
    kind: FileKind
    named_at: str
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackPiece:
    """A segment of a track: where it lies, when the manifest says that it is, and what is in it (None: not fetched)."""

    url: str
    span: Span | None
    seconds: Fraction
    start_ticks: int | None = None
    """As the MPD states it; HLS states none."""
    duration_ticks: int | None = None
    measured: MeasuredSegment | None = None

    @property
    def size_bytes(self) -> int:
        return self.measured.size_bytes if self.measured is not None else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """A rendition as one manifest names it."""

    where: str
    init_url: str | None
    init: MeasuredInit | None
    pieces: tuple[TrackPiece, ...]

    @property
    def measurable(self) -> bool:
        """Whether all of it was read as fragmented MP4."""
        return (
            self.init is not None
            and self.init.problem is None
            and bool(self.pieces)
            and all(piece.measured is not None and piece.measured.fragments for piece in self.pieces)
        )

    @property
    def kind(self) -> str:
        return self.init.kind if self.init is not None else ""

    def seconds(self, piece: TrackPiece) -> Fraction:
        """How long ``piece`` really is, where it could be measured."""
        if self.init is None or piece.measured is None or not piece.measured.fragments:
            return piece.seconds
        return Fraction(piece.measured.duration_ticks, self.init.timescale)

    def frame_seconds(self) -> Fraction | None:
        """How long one picture or audio frame lasts: the shortest, in the first segment."""
        if self.init is None or not self.pieces or self.pieces[0].measured is None:
            return None
        ticks = [fragment.shortest_ticks for fragment in self.pieces[0].measured.fragments if fragment.shortest_ticks]
        return Fraction(min(ticks), self.init.timescale) if ticks else None

    def starts(self) -> list[Fraction]:
        """When each piece starts by the manifest, and when the last one ends."""
        return list(accumulate((piece.seconds for piece in self.pieces), initial=Fraction(0)))


@dataclass(slots=True, kw_only=True)
class Subject:
    """Everything that was read."""

    over_http: bool
    multivariants: list[Playlist] = field(default_factory=list)
    playlists: dict[str, Playlist] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    tracks: dict[str, Track] = field(default_factory=dict)
    """HLS: by the URL of the playlist."""
    mpds: list[Mpd] = field(default_factory=list)
    dash_tracks: dict[tuple[str, int, str], Track] = field(default_factory=dict)
    """By MPD, number of the period and representation id."""
    trick_tracks: dict[tuple[str, int, str], Track] = field(default_factory=dict)
    """Pictures for winding, which are not played like others; by the same."""
    files: dict[str, Fetched] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    range_status: int | None = None
    sizes: dict[tuple[str, Span | None], int] = field(default_factory=dict)
    """Bytes of media as they came, encrypted ones before they were decrypted."""
    keys: dict[str, bytes] = field(default_factory=dict)
    """Keys that playlists name and that were to be had."""

    def described_inits(self) -> set[str]:
        """Init segments of sound that HLS says describes the pictures."""
        named = [
            self.tracks.get(entry.url or "")
            for multivariant in self.multivariants
            for entry in multivariant.media
            if entry.text("TYPE") == "AUDIO" and "describes-video" in (entry.text("CHARACTERISTICS") or "")
        ]
        return {track.init_url for track in named if track is not None and track.init_url is not None}

    def all_tracks(self) -> Iterator[Track]:
        yield from self.tracks.values()
        yield from self.dash_tracks.values()


def read_subject(entries: Sequence[str], library: Library) -> Subject:
    """Read the manifests at the URLs ``entries``, and all that they name."""
    reader = _Reader(library)
    for url in entries:
        reader.entry(url)
    reader.probe_ranges()
    return reader.subject


class _Reader:
    def __init__(self, library: Library) -> None:
        self._library = library
        self._inits: dict[tuple[str, Span | None], MeasuredInit | None] = {}
        self._segments: dict[tuple[str, Span | None], MeasuredSegment | None] = {}
        self.subject = Subject(over_http=library.speaks_http)

    def entry(self, url: str) -> None:
        kind = FileKind.MPD if url.partition("?")[0].endswith(".mpd") else FileKind.PLAYLIST
        answer = self._fetch(url, kind, url)
        if not answer.found:
            return
        if kind is FileKind.MPD or answer.body.lstrip()[:1] == b"<":
            self._mpd(parse_mpd(answer.body, url))
            return
        playlist = parse_playlist(answer.body, url)
        if playlist.is_multivariant:
            self.subject.multivariants.append(playlist)
            self._children(playlist)
        else:
            self._media(playlist, Role.IFRAMES if playlist.iframes_only else Role.VARIANT)

    def probe_ranges(self) -> None:
        """Ask for the first bytes of one segment, to see whether the server knows ranges."""
        url = next((file.url for file in self.subject.files.values() if file.kind is FileKind.SEGMENT), None)
        if self._library.speaks_http and url is not None:
            self.subject.range_status = self._library.read(url, (0, 4)).status

    def _children(self, playlist: Playlist) -> None:
        groups = {"AUDIO": Role.AUDIO, "SUBTITLES": Role.SUBTITLES, "VIDEO": Role.VIDEO}
        named = [(entry, Role.VARIANT) for entry in playlist.variants]
        named += [(entry, groups[kind]) for entry in playlist.media if (kind := entry.text("TYPE") or "") in groups]
        named += [(entry, Role.IFRAMES) for entry in playlist.iframe_variants]
        named += [(entry, Role.IMAGES) for entry in playlist.image_variants]
        for entry, role in named:
            if entry.url is None or entry.url in self.subject.playlists:
                continue
            answer = self._fetch(entry.url, FileKind.PLAYLIST, playlist.at(entry.line))
            if answer.found:
                self._media(parse_playlist(answer.body, entry.url), role)

    def _media(self, playlist: Playlist, role: Role) -> None:
        url = playlist.url
        self.subject.playlists[url] = playlist
        self.subject.roles[url] = role
        if role is Role.IMAGES:
            for piece in playlist.pieces:
                self._fetch(piece.url, FileKind.IMAGE, playlist.at(piece.line))
            return
        if playlist.pieces and playlist.pieces[0].map is None and _is_text(playlist.pieces[0].url):
            for piece in playlist.pieces:
                answer = self._fetch(piece.url, FileKind.TEXT, playlist.at(piece.line))
                self.subject.texts[piece.url] = answer.body
            return
        first = playlist.pieces[0].map if playlist.pieces else None
        init = self._init(*first, playlist.url) if first else None
        pieces = tuple(
            TrackPiece(
                url=piece.url,
                span=piece.span,
                seconds=piece.seconds or Fraction(0),
                measured=self._piece(piece, playlist.media_sequence + number, playlist.at(piece.line)),
            )
            for number, piece in enumerate(playlist.pieces)
        )
        self.subject.tracks[url] = Track(where=url, init_url=first[0] if first else None, init=init, pieces=pieces)

    def _piece(self, piece: Piece, sequence: int, where: str) -> MeasuredSegment | None:
        init = self._init(*piece.map, where) if piece.map else None
        key = self._key(piece.key, where) if piece.key is not None else None
        if piece.key is not None and piece.key.text("METHOD") == "AES-128":  # what is in it only its key tells
            return self._decrypted(piece, sequence, key, init, where)
        return self._segment(piece.url, piece.span, init, where)

    def _key(self, key: Entry, where: str) -> bytes | None:
        """A key that is delivered as it is. Those of DRM services are not ours to ask for."""
        if key.url is None or key.text("KEYFORMAT") not in (None, "identity"):
            return None
        if key.url not in self.subject.files:
            answer = self._fetch(key.url, FileKind.KEY, where)
            if answer.found:
                self.subject.keys[key.url] = answer.body
        return self.subject.keys.get(key.url)

    def _decrypted(
        self, piece: Piece, sequence: int, key: bytes | None, init: MeasuredInit | None, where: str
    ) -> MeasuredSegment | None:
        answer = self._fetch(piece.url, FileKind.SEGMENT, where, piece.span)
        if not answer.found:
            return None
        self.subject.sizes[piece.url, piece.span] = len(answer.body)
        stated = (piece.key.text("IV") or "") if piece.key is not None else ""
        body = decrypted_whole(answer.body, key, bytes.fromhex(stated[2:]) if stated else sequence.to_bytes(16, "big"))
        return measure_segment(body, init) if body is not None and init is not None else None

    def _mpd(self, mpd: Mpd) -> None:
        self.subject.mpds.append(mpd)
        for number, period in enumerate(mpd.periods):
            for each in period.sets:
                for representation in each.representations:
                    self._representation(mpd, number, representation)

    def _representation(self, mpd: Mpd, period: int, representation: Representation) -> None:
        where = f"{mpd.url}#{representation.id}"
        if representation.kind in ("image", "text") and representation.init is None:
            kind = FileKind.IMAGE if representation.kind == "image" else FileKind.TEXT
            urls = [reference.url for reference in representation.references]
            if not urls and representation.has_base_url:  # one whole file
                urls = [representation.base_url]
            for url in urls:
                answer = self._fetch(url, kind, where)
                if kind is FileKind.TEXT:
                    self.subject.texts[url] = answer.body
            return
        init = self._init(*representation.init, where) if representation.init else None
        references: Iterable[Reference] = representation.references
        timescale = representation.timescale or 1
        if representation.index is not None:
            timescale = init.timescale if init else 1
            references = self._indexed(representation)
        pieces = tuple(
            TrackPiece(
                url=reference.url,
                span=reference.span,
                seconds=Fraction(reference.duration_ticks, timescale),
                start_ticks=reference.start_ticks,
                duration_ticks=reference.duration_ticks,
                measured=self._segment(reference.url, reference.span, init, where),
            )
            for reference in references
        )
        tracks = self.subject.dash_tracks if representation.trick_of is None else self.subject.trick_tracks
        tracks[mpd.url, period, representation.id] = Track(
            where=where, init_url=representation.init[0] if representation.init else None, init=init, pieces=pieces
        )

    def _indexed(self, representation: Representation) -> list[Reference]:
        assert representation.index is not None
        index = self._library.read(representation.base_url, representation.index)
        at, time = representation.index[1], 0
        references: list[Reference] = []
        for size, ticks in parse_index(index.body):
            references.append(
                Reference(url=representation.base_url, start_ticks=time, duration_ticks=ticks, span=(at, at + size))
            )
            at, time = at + size, time + ticks
        return references

    def _init(self, url: str, span: Span | None, where: str) -> MeasuredInit | None:
        if (url, span) not in self._inits:
            answer = self._fetch(url, FileKind.INIT, where, span)
            self._inits[url, span] = measure_init(answer.body) if answer.found else None
        return self._inits[url, span]

    def _segment(self, url: str, span: Span | None, init: MeasuredInit | None, where: str) -> MeasuredSegment | None:
        if (url, span) not in self._segments:
            answer = self._fetch(url, FileKind.SEGMENT, where, span)
            measured = None
            if answer.found and init is not None:
                measured = measure_segment(answer.body, init)
            elif answer.found:
                measured = MeasuredSegment(size_bytes=len(answer.body), brands=(), fragments=())
            self._segments[url, span] = measured
        return self._segments[url, span]

    def _fetch(self, url: str, kind: FileKind, where: str, span: Span | None = None) -> Answer:
        answer = self._library.read(url, span)
        known = self.subject.files.get(url)
        if known is None or known.answer.found:
            short = span is not None and answer.found and len(answer.body) < span[1] - span[0]
            kept = replace(answer, body=b"", status=416 if short else answer.status)
            self.subject.files[url] = Fetched(url=url, kind=kind, named_at=where, answer=kept)
        return answer


def _is_text(url: str) -> bool:
    return url.partition("?")[0].endswith((".vtt", ".webvtt"))
