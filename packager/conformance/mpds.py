"""Reads MPDs into values: which segments each representation names, when they are, and under which attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from urllib.parse import urljoin
from xml.etree import ElementTree as ET

from packager.conformance.library import Span

_NAMESPACE = "{urn:mpeg:dash:schema:mpd:2011}"
_CENC = "{urn:mpeg:cenc:2013}"
_TRICK_MODE = "http://dashif.org/guidelines/trickmode"
_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_ADDRESSING = ("SegmentBase", "SegmentList", "SegmentTemplate")
_MOST_SEGMENTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A property of a set or representation: Role, EssentialProperty, ContentProtection …"""

    tag: str
    scheme: str
    value: str
    default_kid: str | None = None
    pssh: str | None = None
    licence_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A segment as the MPD names it. Ticks are of the representation's timescale, from the start of the period."""

    url: str
    start_ticks: int
    duration_ticks: int
    span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """``attributes``: its own over those of its set. ``index``: where a SegmentBase has its sidx. ``timescale`` None: not
    stated."""

    attributes: dict[str, str]
    descriptors: tuple[Descriptor, ...]
    base_url: str
    has_base_url: bool
    addressing: frozenset[str]
    timescale: int | None
    timed: bool
    """With a SegmentTimeline."""
    offset_ticks: int
    times: int
    """How many segments the timeline or the duration counts."""
    named: int | None = None
    """How many SegmentURLs there are, in a SegmentList."""
    init: tuple[str, Span | None] | None
    references: tuple[Reference, ...]
    index: Span | None = None
    gaps: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return self.attributes.get("id", "?")

    @property
    def trick_of(self) -> str | None:
        """The id of the set whose pictures for winding these are; None: they are none."""
        found = (one.value for one in self.descriptors if one.scheme == _TRICK_MODE)
        return next(found, None)

    @property
    def kind(self) -> str:
        """video, audio, text or image."""
        stated = self.attributes.get("contentType")
        mime = self.attributes.get("mimeType", "")
        if stated:
            return stated
        if mime.startswith(("text/", "application/")):
            return "text"
        return mime.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptationSet:
    attributes: dict[str, str]
    descriptors: tuple[Descriptor, ...]
    representations: tuple[Representation, ...]

    @property
    def kind(self) -> str:
        return self.representations[0].kind if self.representations else self.attributes.get("contentType", "")

    @property
    def name(self) -> str:
        return f"AdaptationSet {self.attributes.get('id', '?')} ({self.kind or 'unknown'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    attributes: dict[str, str]
    seconds: Fraction | None
    sets: tuple[AdaptationSet, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mpd:
    """``problem``: why it could not be read. ``forbidden``: attributes that the restricted timing model excludes."""

    url: str
    attributes: dict[str, str] = field(default_factory=dict)
    periods: tuple[Period, ...] = ()
    forbidden: tuple[str, ...] = ()
    largest_number: int = 0
    problem: str | None = None

    @property
    def static(self) -> bool:
        return self.attributes.get("type", "static") == "static"

    def representations(self) -> Iterator[tuple[Period, AdaptationSet, Representation]]:
        for period in self.periods:
            for each in period.sets:
                for representation in each.representations:
                    yield period, each, representation


def duration_seconds(text: str | None) -> Fraction | None:
    """An ``xs:duration``; years and months count as zero. None where there is none or it cannot be read."""
    found = _DURATION.fullmatch(text or "")
    if found is None or not text or text[-1] in "PT":
        return None
    days, hours, minutes = (int(found[part] or 0) for part in ("days", "hours", "minutes"))
    return 60 * (60 * Fraction(24 * days + hours) + minutes) + Fraction(found["seconds"] or 0)


def parse_mpd(body: bytes, url: str) -> Mpd:
    """The MPD in ``body``, URLs made absolute against ``url``."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        return Mpd(url=url, problem="It has a document type, which could pull in other files.")
    try:
        root = ET.fromstring(body)  # noqa: S314 - without a document type there are no entities to expand
    except ET.ParseError as error:
        return Mpd(url=url, problem=f"This is not XML: {error}.")
    if root.tag != f"{_NAMESPACE}MPD":
        return Mpd(url=url, problem=f"The root is {root.tag}.")
    try:
        return _mpd(root, url)
    except ValueError as error:
        return Mpd(url=url, problem=f"A number in it cannot be read: {error}.")


def _mpd(root: ET.Element, url: str) -> Mpd:
    base = _base(root, url)
    whole = duration_seconds(root.get("mediaPresentationDuration"))
    elements = root.findall(f"{_NAMESPACE}Period")
    periods = tuple(_period(element, base, whole if len(elements) == 1 else None) for element in elements)
    return Mpd(
        url=url,
        attributes=dict(root.attrib),
        periods=periods,
        forbidden=tuple(_forbidden(root)),
        largest_number=max(
            (int(text) for node in root.iter() for text in node.attrib.values() if text.isdigit()), default=0
        ),
    )


def _forbidden(root: ET.Element) -> Iterator[str]:
    for node in root.iter():
        names = {"S": ("n",)}.get(_local(node), ("eptDelta", "presentationDuration"))
        for name in names:
            if name in node.attrib:
                yield f"{_local(node)}@{name}"


def _local(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _base(element: ET.Element, url: str) -> str:
    text = element.findtext(f"{_NAMESPACE}BaseURL")
    return urljoin(url, text.strip()) if text else url


def _descriptors(element: ET.Element) -> tuple[Descriptor, ...]:
    return tuple(
        Descriptor(
            tag=_local(node),
            scheme=node.get("schemeIdUri", ""),
            value=node.get("value", ""),
            default_kid=node.get(f"{_CENC}default_KID"),
            pssh=node.findtext(f"{_CENC}pssh"),
            licence_url=next((child.text for child in node if _local(child) == "Laurl"), None),
        )
        for node in element
        if node.get("schemeIdUri")
    )


def _period(element: ET.Element, base: str, whole: Fraction | None) -> Period:
    stated = duration_seconds(element.get("duration"))
    seconds = whole if stated is None else stated
    base = _base(element, base)
    inherited = _addressing(element)
    sets = tuple(_set(node, base, seconds, inherited) for node in element.findall(f"{_NAMESPACE}AdaptationSet"))
    return Period(attributes=dict(element.attrib), seconds=seconds, sets=sets)


_Found = dict[str, list[ET.Element]]


def _addressing(element: ET.Element, inherited: _Found | None = None) -> _Found:
    """The addressing elements that hold for ``element``, its own first, then those further out."""
    found = {kind: list(inherited.get(kind, [])) if inherited else [] for kind in _ADDRESSING}
    for kind in _ADDRESSING:
        own = element.find(f"{_NAMESPACE}{kind}")
        if own is not None:
            found[kind].insert(0, own)
    return found


def _set(element: ET.Element, base: str, seconds: Fraction | None, inherited: _Found) -> AdaptationSet:
    base = _base(element, base)
    found = _addressing(element, inherited)
    descriptors = _descriptors(element)
    representations = tuple(
        _representation(node, element, base, seconds, _addressing(node, found), descriptors)
        for node in element.findall(f"{_NAMESPACE}Representation")
    )
    return AdaptationSet(attributes=dict(element.attrib), descriptors=descriptors, representations=representations)


def _representation(
    element: ET.Element,
    parent: ET.Element,
    base: str,
    seconds: Fraction | None,
    found: _Found,
    descriptors: tuple[Descriptor, ...],
) -> Representation:
    attributes = {name: value for name, value in parent.attrib.items() if name != "id"} | dict(element.attrib)
    own_base = element.find(f"{_NAMESPACE}BaseURL") is not None
    base = _base(element, base)
    kinds = frozenset(kind for kind, elements in found.items() if elements)
    plain = Representation(
        attributes=attributes,
        descriptors=descriptors + _descriptors(element),
        base_url=base,
        has_base_url=own_base,
        addressing=kinds,
        timescale=None,
        timed=False,
        offset_ticks=0,
        times=0,
        init=None,
        references=(),
    )
    if not kinds:
        return plain
    kind = max(kinds)
    return _addressed(plain, kind, found[kind], seconds)


def _addressed(
    plain: Representation, kind: str, elements: list[ET.Element], seconds: Fraction | None
) -> Representation:
    def attribute(name: str) -> str | None:
        return next((node.attrib[name] for node in elements if name in node.attrib), None)

    def inside(name: str) -> ET.Element | None:
        return next((node for each in elements if (node := each.find(f"{_NAMESPACE}{name}")) is not None), None)

    stated = attribute("timescale")
    timescale = int(stated) if stated and stated.isdigit() and int(stated) else None
    timeline = inside("SegmentTimeline")
    offset = int(attribute("presentationTimeOffset") or 0)
    times, gaps = _times(
        timeline, attribute("duration"), timescale or 1, seconds, len(elements[0].findall(f"{_NAMESPACE}SegmentURL"))
    )
    initialization = inside("Initialization")
    init: tuple[str, Span | None] | None = None
    if initialization is not None:
        init = (urljoin(plain.base_url, initialization.get("sourceURL") or ""), _span(initialization.get("range")))
    references: list[Reference] = []
    count: int | None = None
    if kind == "SegmentTemplate":
        pattern = attribute("initialization")
        init = (urljoin(plain.base_url, fill(pattern, plain.attributes)), None) if pattern else init
        first = int(attribute("startNumber") or 1)
        media = attribute("media") or ""
        for number, (start, length) in enumerate(times, start=first):
            url = urljoin(plain.base_url, fill(media, plain.attributes, number=number, time=start))
            references.append(Reference(url=url, start_ticks=start - offset, duration_ticks=length))
    elif kind == "SegmentList":
        named = next((urls for node in elements if (urls := node.findall(f"{_NAMESPACE}SegmentURL"))), [])
        for node, (start, length) in zip(named, times, strict=False):
            references.append(
                Reference(
                    url=urljoin(plain.base_url, node.get("media") or ""),
                    start_ticks=start - offset,
                    duration_ticks=length,
                    span=_span(node.get("mediaRange")),
                )
            )
        count = len(named)
    index = _span(attribute("indexRange")) if kind == "SegmentBase" else None
    if index is not None and init is None:
        init = (plain.base_url, (0, index[0]))
    return replace(
        plain,
        timescale=timescale,
        timed=timeline is not None,
        offset_ticks=offset,
        times=len(times),
        named=count,
        init=init if plain.kind != "image" else None,
        references=tuple(references),
        index=index,
        gaps=gaps,
    )


def _times(
    timeline: ET.Element | None, duration: str | None, timescale: int, seconds: Fraction | None, named: int
) -> tuple[list[tuple[int, int]], tuple[str, ...]]:
    """(start, duration) of every segment, and where they do not follow one another."""
    times: list[tuple[int, int]] = []
    gaps: list[str] = []
    if timeline is not None:
        at = 0
        for node in timeline:
            start = int(node.get("t") or at)
            if times and start != at:
                gaps.append(f"{'a gap' if start > at else 'an overlap'} of {abs(start - at)} ticks before {start}")
            length, repeats = int(node.get("d") or 0), int(node.get("r") or 0)
            if repeats < 0:
                end = int((seconds or 0) * timescale)
                repeats = max(0, -(-(end - start) // max(1, length)) - 1)
            for _ in range(min(repeats, _MOST_SEGMENTS) + 1):
                times.append((start, length))
                start += length
            at = start
    elif duration is not None and int(duration) > 0:
        count = named or (-(-int((seconds or 0) * timescale) // int(duration)))
        times = [(index * int(duration), int(duration)) for index in range(min(count, _MOST_SEGMENTS))]
    return times, tuple(gaps)


def fill(pattern: str | None, attributes: dict[str, str], *, number: int = 0, time: int = 0) -> str:
    """A URL template with its identifiers put in (ISO/IEC 23009-1 section 5.3.9.4.4)."""
    values: dict[str, str | int] = {
        "RepresentationID": attributes.get("id", ""),
        "Bandwidth": int(attributes.get("bandwidth", "0") or 0),
        "Number": number,
        "Time": time,
    }

    def put(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        value = values.get(found[1], found[0])
        return f"{value:0{int(found[2])}d}" if found[2] and isinstance(value, int) else str(value)

    return re.sub(r"\$\$|\$(\w+)(?:%0(\d+)d)?\$", put, pattern or "")


def _span(text: str | None) -> Span | None:
    first, dash, last = (text or "").partition("-")
    return (int(first), int(last) + 1) if dash and first.isdigit() and last.isdigit() else None
