"""The MPD (ISO/IEC 23009-1): one period, a video adaptation set, one per audio rendition, and the storyboard.

Segment names carry content hashes, so there is no ``$Number$`` to count with: each representation lists its names in a
SegmentList, timed by a SegmentTimeline. Growing, the MPD is dynamic and players start at its beginning; complete, it is
static.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import gcd
from typing import Protocol
from xml.etree import ElementTree as ET

from packager.bit_rates import BitRates, measure_iframes, measure_renditions
from packager.dash.segment_timeline import iframe_list, segment_list
from packager.dash.xml import render_xml
from packager.encryption import NAMESPACES, content_protection
from packager.presentation import AudioRendition, Presentation, Storyboard, SubtitleRendition, VideoRendition
from packager.storyboard import tile_url

NAMESPACE = "urn:mpeg:dash:schema:mpd:2011"
# The main profile is the one that allows SegmentList beside ISO media segments that start with a SAP.
PROFILE = "urn:mpeg:dash:profile:isoff-main:2011"
ROLE = "urn:mpeg:dash:role:2011"
CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
PURPOSE = "urn:tva:metadata:cs:AudioPurposeCS:2007"
UTC_DIRECT = "urn:mpeg:dash:utc:direct:2014"
CEA_608 = "urn:scte:dash:cc:cea-608:2015"
CEA_708 = "urn:scte:dash:cc:cea-708:2015"
THUMBNAIL_TILE = "http://dashif.org/guidelines/thumbnail_tile"

TRICK_MODE = "http://dashif.org/guidelines/trickmode"

TRICK_SET_ID = 40
MAX_PLAYOUT_RATE = 32
FIRST_SUBTITLES_ID = 50

CLOCK_MARGIN = timedelta(days=1)
MIN_BUFFER_S = 2
"""Shaka waits for as much before it starts; a GOP is enough."""


class Lines(Protocol):
    """What was written of a rendition's segments before: see `packager.rendition_lines`."""

    @property
    def times(self) -> str: ...

    @property
    def names(self) -> str: ...

    @property
    def longest_ticks(self) -> int: ...


def render_mpd(
    presentation: Presentation,
    *,
    published_at: datetime,
    rates: Mapping[str, BitRates] | None = None,
    iframe_rates: Mapping[str, BitRates] | None = None,
    lines: Mapping[str, Lines] | None = None,
) -> bytes:
    """The MPD of ``presentation`` as UTF-8 XML. ``published_at``: with a time zone. ``rates`` and ``lines``: of every
    rendition, and ``iframe_rates`` of its I-frames, where they are known already."""
    lines = lines or {}
    rates = measure_renditions(presentation) if rates is None else rates
    root = ET.Element("MPD", _mpd_attributes(presentation, published_at, lines))
    if not presentation.complete:
        root.append(_from_the_beginning(presentation, published_at))
    period = ET.SubElement(root, "Period", {"id": "0", "start": "PT0S"})
    if presentation.video:
        period.append(_video_set(presentation, rates, lines))
        if presentation.complete:
            period.append(_trick_set(presentation, (iframe_rates or {}).get(presentation.video[0].name)))
    for index, rendition in enumerate(presentation.audio, start=1):
        period.append(_audio_set(presentation, rendition, index, rates, lines.get(rendition.name)))
    for index, subtitles in enumerate(presentation.subtitles, start=FIRST_SUBTITLES_ID):
        period.append(_subtitles_set(presentation, subtitles, index))
    if presentation.storyboard is not None and presentation.storyboard.tiles:
        period.append(_storyboard_set(presentation.storyboard))
    if not presentation.complete:
        # All that is listed counts as available whatever the time (see `_availability_start`), so the exact time is of
        # no use; but without a source for it dash.js asks a third party's server.
        ET.SubElement(root, "UTCTiming", {"schemeIdUri": UTC_DIRECT, "value": time_text(published_at)})
    return render_xml(root)


def _mpd_attributes(presentation: Presentation, published_at: datetime, lines: Mapping[str, Lines]) -> dict[str, str]:
    longest = max(
        (
            Fraction(
                lines[rendition.name].longest_ticks
                if rendition.name in lines
                else max(segment.duration_ticks for segment in rendition.segments),
                rendition.timescale,
            )
            for rendition in presentation.renditions
            if rendition.segments
        ),
        default=presentation.segment_duration,
    )
    attributes = {
        "xmlns": NAMESPACE,
        **(NAMESPACES if presentation.protection is not None else {}),
        "profiles": PROFILE,
        "type": "static" if presentation.complete else "dynamic",
        "minBufferTime": duration_text(Fraction(MIN_BUFFER_S)),
        # DASH-IF: no S@d is larger; so up to a whole millisecond.
        "maxSegmentDuration": duration_text(Fraction((longest * 1000).__ceil__(), 1000)),
    }
    if presentation.complete:
        return attributes | {"mediaPresentationDuration": duration_text(_listed_duration(presentation))}
    return attributes | {
        "availabilityStartTime": time_text(_availability_start(presentation)),
        "publishTime": time_text(published_at),
        "minimumUpdatePeriod": duration_text(_update_period(presentation)),
        # shaka-player takes the end of what is listed for now, starts this far behind it, and from then on loads what
        # lies this far behind its clock: less would not start at the beginning, more would stop loading on the way.
        # For the same reason there is no mediaPresentationDuration: it would stop that clock.
        "suggestedPresentationDelay": duration_text(Fraction(_listed_duration(presentation).__ceil__() + 1)),
    }


def _update_period(presentation: Presentation) -> Fraction:
    """Half a target duration at first, up to half a minute later on: an MPD names every segment, that of a long film is
    megabytes, and who waits for more has watched sixty times as long."""
    return Fraction(max(1, presentation.target_duration_s // 2, min(30, _listed_duration(presentation) // 60)))


def _availability_start(presentation: Presentation) -> datetime:
    """When a live event of this length would have had to start to be over before the first publication.

    A segment is available from its end on that clock (ISO/IEC 23009-1 section A.3.2), and dash.js asks for none before.
    We encode faster than real time: this way whatever is listed is available at once, also by a clock that is slow.
    """
    return presentation.available_from - timedelta(seconds=presentation.duration.__ceil__()) - CLOCK_MARGIN


def _from_the_beginning(presentation: Presentation, published_at: datetime) -> ET.Element:
    """A target latency longer than all that could be past: dash.js starts this far behind "now", at the beginning.

    It goes before suggestedPresentationDelay there; shaka-player only adapts its speed to it, which the rates forbid.
    """
    past = published_at - _availability_start(presentation) + CLOCK_MARGIN
    element = ET.Element("ServiceDescription", {"id": "0"})
    target_ms = min(past // timedelta(milliseconds=1), 2**32 - 1)  # an xs:unsignedInt
    ET.SubElement(element, "Latency", {"target": str(target_ms)})
    ET.SubElement(element, "PlaybackRate", {"min": "1", "max": "1"})
    return element


def _listed_duration(presentation: Presentation) -> Fraction:
    """To the end of the last video segment (audio may reach up to one AAC frame beyond it)."""
    listed = presentation.video or presentation.audio
    return max(
        Fraction(rendition.segments[-1].start_ticks + rendition.segments[-1].duration_ticks, rendition.timescale)
        for rendition in listed
    )


def _video_set(presentation: Presentation, rates: Mapping[str, BitRates], lines: Mapping[str, Lines]) -> ET.Element:
    top = max(presentation.video, key=lambda rendition: rendition.width * rendition.height)
    shape = gcd(top.width, top.height)
    element = ET.Element(
        "AdaptationSet",
        {
            "id": "0",
            "contentType": "video",
            "mimeType": "video/mp4",
            "segmentAlignment": "true",
            "startWithSAP": "1",
            "par": f"{top.width // shape}:{top.height // shape}",
            "maxWidth": str(top.width),
            "maxHeight": str(max(rendition.height for rendition in presentation.video)),
            "maxFrameRate": rate_text(top.frame_rate),
        },
    )
    if presentation.protection is not None:
        element.extend(content_protection(presentation.protection))
    for scheme, channels in _captions(presentation.captions):
        ET.SubElement(element, "Accessibility", {"schemeIdUri": scheme, "value": channels})
    ET.SubElement(element, "Role", {"schemeIdUri": ROLE, "value": "main"})
    for rendition in presentation.video:
        own = {
            "width": str(rendition.width),
            "height": str(rendition.height),
            "frameRate": rate_text(rendition.frame_rate),
            "sar": "1:1",
        }
        element.append(_representation(rendition, own, rates[rendition.name], lines.get(rendition.name)))
    return element


def _captions(channels: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Closed captions inside the pictures (ANSI/SCTE 214-1, 7.2). 608 names channels, 708 numbers services."""
    old = [channel for channel in channels if channel.startswith("CC")]
    services = [channel.removeprefix("SERVICE") for channel in channels if channel.startswith("SERVICE")]
    if old:
        yield CEA_608, ";".join(old)
    if services:
        yield CEA_708, ";".join(f"{number}=lang:und" for number in services)


def _trick_set(presentation: Presentation, rates: BitRates | None) -> ET.Element:
    """Pictures for winding (DASH-IF IOP section 3.2.9): the lowest rung's I-frames, as byte ranges of the segments that are
    there, each shown until the next one. One rung is enough for what is seen for a moment, and an MPD names every one."""
    rendition = presentation.video[0]
    element = ET.Element(
        "AdaptationSet",
        {
            "id": str(TRICK_SET_ID),
            "contentType": "video",
            "mimeType": "video/mp4",
            "segmentAlignment": "true",
            "startWithSAP": "1",
        },
    )
    if presentation.protection is not None:
        element.extend(content_protection(presentation.protection))
    ET.SubElement(element, "EssentialProperty", {"schemeIdUri": TRICK_MODE, "value": "0"})  # the set that it is of
    rates = rates or measure_iframes(
        rendition.segments, timescale=rendition.timescale, target_duration_s=presentation.target_duration_s
    )
    own = {
        "id": f"{rendition.name}-trick",
        "codecs": rendition.codecs,
        "bandwidth": str(max(1, rates.peak_bps)),
        "width": str(rendition.width),
        "height": str(rendition.height),
        "frameRate": rate_text(1 / _iframe_seconds(rendition)),
        "sar": "1:1",
        "maxPlayoutRate": str(MAX_PLAYOUT_RATE),
        "codingDependency": "false",
    }
    representation = ET.SubElement(element, "Representation", own)
    ET.SubElement(representation, "BaseURL").text = f"{rendition.name}/"
    representation.append(iframe_list(rendition.segments, timescale=rendition.timescale, init_name=rendition.init_name))
    return element


def _iframe_seconds(rendition: VideoRendition) -> Fraction:
    """How long a picture of the trick-mode set is shown: all but the last are alike."""
    return Fraction(rendition.segments[0].iframes[0].duration_ticks, rendition.timescale)


def _audio_set(
    presentation: Presentation,
    rendition: AudioRendition,
    set_id: int,
    rates: Mapping[str, BitRates],
    lines: Lines | None,
) -> ET.Element:
    element = ET.Element(
        "AdaptationSet",
        {
            "id": str(set_id),
            "contentType": "audio",
            "mimeType": "audio/mp4",
            "lang": rendition.language,
            "segmentAlignment": "true",
            "startWithSAP": "1",
        },
    )
    # ISO/IEC 23003-3: the configurations up to 6 are the numbers of channels, 7 is eight channels.
    configuration = {"schemeIdUri": CHANNELS, "value": str(7 if rendition.channels == 8 else rendition.channels)}
    ET.SubElement(element, "AudioChannelConfiguration", configuration)
    if presentation.protection is not None:
        element.extend(content_protection(presentation.protection))
    ET.SubElement(element, "Label").text = rendition.label
    if rendition.describes_video:  # TV-Anytime's AudioPurposeCS: 1 is for those who cannot see
        ET.SubElement(element, "Accessibility", {"schemeIdUri": PURPOSE, "value": "1"})
    main = rendition is presentation.default_audio
    ET.SubElement(element, "Role", {"schemeIdUri": ROLE, "value": "main" if main else "alternate"})
    own = {"audioSamplingRate": str(rendition.sample_rate_hz)}
    element.append(_representation(rendition, own, rates[rendition.name], lines))
    return element


def _representation(
    rendition: VideoRendition | AudioRendition, own: dict[str, str], rates: BitRates, lines: Lines | None
) -> ET.Element:
    attributes = {"id": rendition.name, "codecs": rendition.codecs, "bandwidth": str(max(1, rates.peak_bps)), **own}
    element = ET.Element("Representation", attributes)
    ET.SubElement(element, "BaseURL").text = f"{rendition.name}/"
    element.append(
        segment_list(
            rendition.segments,
            timescale=rendition.timescale,
            init_name=rendition.init_name,
            times=lines.times if lines is not None else None,
            names=lines.names if lines is not None else None,
        )
    )
    return element


def _subtitles_set(presentation: Presentation, subtitles: SubtitleRendition, set_id: int) -> ET.Element:
    """One whole file a representation: dash.js never starts where raw WebVTT comes in segments."""
    kind = {"id": str(set_id), "contentType": "text", "mimeType": "text/vtt", "lang": subtitles.language}
    element = ET.Element("AdaptationSet", kind)
    ET.SubElement(element, "Label").text = subtitles.label
    if subtitles.for_deaf:  # TV-Anytime's AudioPurposeCS, as DASH-IF asks for: 2 is for the hard of hearing
        ET.SubElement(element, "Accessibility", {"schemeIdUri": PURPOSE, "value": "2"})
    # ISO/IEC 23009-1 section 5.8.5.5; players show forced subtitles whatever the viewer chose.
    role = "forced-subtitle" if subtitles.forced else "caption" if subtitles.for_deaf else "subtitle"
    ET.SubElement(element, "Role", {"schemeIdUri": ROLE, "value": role})
    duration = max(Fraction(1), presentation.duration)
    bandwidth = max(1, (subtitles.whole_size_bytes * 8 / duration).__ceil__())
    representation = ET.SubElement(element, "Representation", {"id": subtitles.name, "bandwidth": str(bandwidth)})
    ET.SubElement(representation, "BaseURL").text = f"{subtitles.name}/{subtitles.whole_name}"
    return element


def _storyboard_set(storyboard: Storyboard) -> ET.Element:
    """DASH-IF IOP part 5 section 6.2.6: a representation whose segments are images, each a grid of thumbnails."""
    element = ET.Element("AdaptationSet", {"id": "100", "contentType": "image", "mimeType": "image/jpeg"})
    tile_duration = storyboard.interval * storyboard.columns * storyboard.rows
    largest_bytes = max(storyboard.tile_sizes_bytes, default=0)
    representation = ET.SubElement(
        element,
        "Representation",
        {
            "id": "storyboard",
            "bandwidth": str(max(1, (largest_bytes * 8 / tile_duration).__ceil__())),
            "width": str(storyboard.width * storyboard.columns),
            "height": str(storyboard.height * storyboard.rows),
        },
    )
    grid = {"schemeIdUri": THUMBNAIL_TILE, "value": f"{storyboard.columns}x{storyboard.rows}"}
    ET.SubElement(representation, "EssentialProperty", grid)
    representation.append(_tiles(storyboard, tile_duration))
    return element


def _tiles(storyboard: Storyboard, tile_duration: Fraction) -> ET.Element:
    """A SegmentTemplate where the names differ in their number only (one digest for all of them): dash.js shows thumbnails
    from nothing else. Otherwise a SegmentList, which shaka-player reads too."""
    timing = {"timescale": str(tile_duration.denominator), "duration": str(tile_duration.numerator)}
    names = [tile_url(tile) for tile in storyboard.tiles]
    numbered = re.fullmatch(r"(storyboard/)(\d+)(-[0-9a-f]+\.jpg)", names[0])
    if numbered:
        folder, first, tail = numbered.groups()
        if names == [f"{folder}{number}{tail}" for number in range(int(first), int(first) + len(names))]:
            return ET.Element("SegmentTemplate", timing | {"startNumber": first, "media": f"{folder}$Number${tail}"})
    element = ET.Element("SegmentList", timing)
    for name in names:
        ET.SubElement(element, "SegmentURL", {"media": name})
    return element


def rate_text(rate: Fraction) -> str:
    """``25`` or ``30000/1001``."""
    return str(rate)


def duration_text(seconds: Fraction) -> str:
    """An ``xs:duration`` in seconds only (``PT12.48S``), to the microsecond."""
    whole, microseconds = divmod(round(seconds * 1_000_000), 1_000_000)
    fraction = f".{microseconds:06d}".rstrip("0") if microseconds else ""
    return f"PT{whole}{fraction}S"


def time_text(moment: datetime) -> str:
    """An ``xs:dateTime`` in UTC, to the millisecond."""
    if moment.tzinfo is None:
        raise ValueError("a moment of the presentation has a time zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
