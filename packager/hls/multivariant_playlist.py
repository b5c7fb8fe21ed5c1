"""The multivariant playlist (RFC 8216bis section 4.4.6): variants, the audio group, and the I-frame variants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from packager.bit_rates import NOTHING, BitRates, measure_iframes, measure_renditions
from packager.encryption import Protection
from packager.hls.attributes import attribute_list, decimal, quoted, resolution, yes_no
from packager.hls.image_playlist import ImageVariant, image_variant
from packager.hls.keys import Key, keys_of
from packager.hls.tags import IndependentSegments, Tag, Version, render_playlist
from packager.presentation import AudioRendition, Presentation, SubtitleRendition, VideoRendition

AUDIO_GROUP = "audio"
SURROUND_GROUP = "surround"
SUBTITLES_GROUP = "subtitles"
CAPTIONS_GROUP = "captions"
VERSION_OF_SERVICES = 7
"""RFC 8216 section 7: an INSTREAM-ID of CEA-708's needs 7."""
# Apple 4.5: subtitles for the deaf have both.
FOR_DEAF = "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound"
DESCRIBES_VIDEO = "public.accessibility.describes-video"
FIRST_VARIANT_BPS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioMedia:
    """EXT-X-MEDIA of an audio rendition. ``name`` is unique in the group. One that describes the pictures a player may choose
    by itself, as all others (Apple 2.12, 2.13)."""

    group: str
    name: str
    language: str
    default: bool
    channels: int
    uri: str
    describes_video: bool = False

    def lines(self) -> Iterable[str]:
        attributes = {
            "TYPE": "AUDIO",
            "GROUP-ID": quoted(self.group),
            "NAME": quoted(self.name),
            "LANGUAGE": quoted(self.language),
            "DEFAULT": yes_no(self.default),
            "AUTOSELECT": yes_no(True),
            "CHANNELS": quoted(str(self.channels)),
            "CHARACTERISTICS": quoted(DESCRIBES_VIDEO) if self.describes_video else None,
            "URI": quoted(self.uri),
        }
        yield f"#EXT-X-MEDIA:{attribute_list(attributes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitlesMedia:
    """EXT-X-MEDIA of subtitles. Forced ones, and those for the deaf, a player may choose by itself (Apple 4.6, 5.11)."""

    name: str
    language: str
    default: bool
    forced: bool
    for_deaf: bool
    uri: str

    def lines(self) -> Iterable[str]:
        attributes = {
            "TYPE": "SUBTITLES",
            "GROUP-ID": quoted(SUBTITLES_GROUP),
            "NAME": quoted(self.name),
            "LANGUAGE": quoted(self.language),
            "DEFAULT": yes_no(self.default),
            "AUTOSELECT": yes_no(True),
            "FORCED": yes_no(self.forced),
            "CHARACTERISTICS": quoted(FOR_DEAF) if self.for_deaf else None,
            "URI": quoted(self.uri),
        }
        yield f"#EXT-X-MEDIA:{attribute_list(attributes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionsMedia:
    """EXT-X-MEDIA of closed captions inside the pictures. Nobody says in which language they are."""

    name: str
    channel: str

    def lines(self) -> Iterable[str]:
        attributes = {
            "TYPE": "CLOSED-CAPTIONS",
            "GROUP-ID": quoted(CAPTIONS_GROUP),
            "NAME": quoted(self.name),
            "LANGUAGE": quoted("und"),  # Apple 8.10 wants one of all that are not video
            "DEFAULT": yes_no(False),
            "AUTOSELECT": yes_no(True),
            "INSTREAM-ID": quoted(self.channel),
        }
        yield f"#EXT-X-MEDIA:{attribute_list(attributes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """EXT-X-STREAM-INF and its URI. Without ``size`` and ``frame_rate`` it is audio only."""

    bit_rates: BitRates
    codecs: tuple[str, ...]
    uri: str
    size: tuple[int, int] | None = None
    frame_rate: Fraction | None = None
    score: Fraction | None = None
    video_range: str | None = None
    audio_group: str | None = None
    subtitles_group: str | None = None
    captions_group: str | None = None

    def lines(self) -> Iterable[str]:
        attributes: dict[str, str | int | None] = {
            "BANDWIDTH": self.bit_rates.peak_bps,
            "AVERAGE-BANDWIDTH": self.bit_rates.average_bps,
            "CODECS": quoted(",".join(self.codecs)),
            "RESOLUTION": resolution(*self.size) if self.size else None,
            "FRAME-RATE": decimal(self.frame_rate, 3) if self.frame_rate else None,
            "VIDEO-RANGE": self.video_range,
            "SCORE": decimal(self.score, 1) if self.score is not None else None,
            "AUDIO": quoted(self.audio_group) if self.audio_group else None,
            "SUBTITLES": quoted(self.subtitles_group) if self.subtitles_group else None,
            # Said also where there are none, so that players neither scan the pictures for captions nor offer them.
            "CLOSED-CAPTIONS": (quoted(self.captions_group) if self.captions_group else "NONE") if self.size else None,
        }
        yield f"#EXT-X-STREAM-INF:{attribute_list(attributes)}"
        yield self.uri


@dataclass(frozen=True, slots=True, kw_only=True)
class IFrameVariant:
    """EXT-X-I-FRAME-STREAM-INF. FRAME-RATE, AUDIO, SUBTITLES and CLOSED-CAPTIONS are forbidden on it."""

    bit_rates: BitRates
    codecs: str
    size: tuple[int, int]
    uri: str
    video_range: str | None = None

    def lines(self) -> Iterable[str]:
        attributes: dict[str, str | int | None] = {
            "BANDWIDTH": self.bit_rates.peak_bps,
            "AVERAGE-BANDWIDTH": self.bit_rates.average_bps,
            "CODECS": quoted(self.codecs),
            "RESOLUTION": resolution(*self.size),
            "VIDEO-RANGE": self.video_range,
            "URI": quoted(self.uri),
        }
        yield f"#EXT-X-I-FRAME-STREAM-INF:{attribute_list(attributes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MultivariantPlaylist:
    audio: tuple[AudioMedia, ...]
    subtitles: tuple[SubtitlesMedia, ...] = ()
    captions: tuple[CaptionsMedia, ...] = ()
    variants: tuple[Variant, ...]
    iframe_variants: tuple[IFrameVariant, ...]
    images: ImageVariant | None = None
    keys: tuple[Key, ...] = ()

    def tags(self) -> Iterator[Tag]:
        services = any(medium.channel.startswith("SERVICE") for medium in self.captions)
        yield Version(number=VERSION_OF_SERVICES) if services else Version()
        yield IndependentSegments()
        yield from self.keys
        yield from self.audio
        yield from self.subtitles
        yield from self.captions
        yield from self.variants
        yield from self.iframe_variants
        if self.images is not None:
            yield self.images

    def render(self) -> str:
        return render_playlist(self.tags())

    def pointing_at(self, names: Mapping[str, str]) -> MultivariantPlaylist:
        """The same with playlists under other ``names``, by their usual ones; those that are not in there keep theirs."""
        return replace(
            self,
            audio=tuple(_renamed(medium, names) for medium in self.audio),
            subtitles=tuple(_renamed(medium, names) for medium in self.subtitles),
            variants=tuple(_renamed(variant, names) for variant in self.variants),
            iframe_variants=tuple(_renamed(variant, names) for variant in self.iframe_variants),
            images=_renamed(self.images, names) if self.images is not None else None,
        )


_Pointing = TypeVar("_Pointing", AudioMedia, SubtitlesMedia, Variant, IFrameVariant, ImageVariant)


def _renamed(tag: _Pointing, names: Mapping[str, str]) -> _Pointing:
    return replace(tag, uri=names.get(tag.uri, tag.uri))


def multivariant_playlist(
    presentation: Presentation,
    *,
    rates: Mapping[str, BitRates] | None = None,
    iframe_rates: Mapping[str, BitRates] | None = None,
) -> MultivariantPlaylist:
    """The multivariant playlist of ``presentation``, its renditions' playlists beside it in their own folders.

    With video, every audio rendition is in a group that all variants share; where there is surround sound too, all variants
    are there once more with a group of it, because the members of a group have one number of channels. Without
    video, the default audio rendition is the variant, and the group is there only if there is something to choose.
    ``rates``: of every rendition, and ``iframe_rates`` of its I-frames, where they are known already.
    """
    rates = measure_renditions(presentation) if rates is None else rates
    grouped = bool(presentation.video) or len(presentation.audio) > 1
    if presentation.video:
        variants = _video_variants(presentation, rates)
    else:
        variants = _audio_variants(presentation, rates)
    return MultivariantPlaylist(
        audio=tuple(
            medium
            for group, members in _audio_groups(presentation)
            for medium in _audio_group(group, members, presentation.default_audio)
            if grouped
        ),
        subtitles=_subtitles_group(presentation.subtitles),
        captions=tuple(CaptionsMedia(name=f"Captions {channel}", channel=channel) for channel in presentation.captions),
        variants=first_variant_first(variants),
        iframe_variants=tuple(
            _iframe_variant(rendition, presentation, (iframe_rates or {}).get(rendition.name))
            for rendition in presentation.video
        ),
        images=image_variant(presentation.storyboard) if presentation.storyboard is not None else None,
        keys=tuple(_session_keys(presentation.protection)) if presentation.protection is not None else (),
    )


def _session_keys(protection: Protection) -> Iterator[Key]:
    """So that players ask for keys before the first media playlist has come."""
    for key in protection.keys:
        yield from keys_of(protection, key, folder="", session=True)


def first_variant_first(variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """``variants`` by rising bit rate, but the best one within 2 Mbit/s before all others.

    Apple's players, and others that have no measure of the line yet, start with the first one. Apple's authoring rules
    (1.32) want it near 2 Mbit/s: the lowest would greet every viewer with mush, the top one with a spinner. Nor does a
    player begin with surround sound, which few can hear.
    """
    rising = sorted(variants, key=lambda variant: variant.bit_rates.peak_bps)
    plain = [variant for variant in rising if variant.audio_group != SURROUND_GROUP]
    within = [variant for variant in plain if variant.bit_rates.peak_bps <= FIRST_VARIANT_BPS]
    first = (within or plain)[-1 if within else 0]
    return (first, *(variant for variant in rising if variant is not first))


def _largest(rates: Iterable[BitRates]) -> BitRates:
    """What the costliest choice of an audio rendition adds (Apple 9.13: the largest sum over playable combinations)."""
    listed = list(rates) or [NOTHING]
    return BitRates(
        peak_bps=max(rate.peak_bps for rate in listed), average_bps=max(rate.average_bps for rate in listed)
    )


def _audio_groups(presentation: Presentation) -> list[tuple[str, tuple[AudioRendition, ...]]]:
    """Sound for everybody, and where there is any, surround sound; a language without it is in that group as it is, and so
    are descriptions of the pictures."""
    plain = tuple(rendition for rendition in presentation.audio if rendition.channels <= 2)
    surround = {rendition.language: rendition for rendition in presentation.audio if rendition.channels > 2}
    if not plain or not surround:
        return [(AUDIO_GROUP, presentation.audio)]
    return [
        (AUDIO_GROUP, plain),
        (SURROUND_GROUP, tuple(one if one.describes_video else surround.get(one.language, one) for one in plain)),
    ]


def _video_variants(presentation: Presentation, rates: Mapping[str, BitRates]) -> list[Variant]:
    return [
        variant
        for group, members in _audio_groups(presentation)
        for variant in _variants_with(group, members, presentation, rates)
    ]


def _variants_with(
    group: str, members: Sequence[AudioRendition], presentation: Presentation, rates: Mapping[str, BitRates]
) -> list[Variant]:
    costliest = _largest(rates[rendition.name] for rendition in members)
    audio_codecs = dict.fromkeys(rendition.codecs for rendition in members)
    return [
        Variant(
            bit_rates=rates[rendition.name] + costliest,
            codecs=(rendition.codecs, *audio_codecs),
            uri=f"{rendition.name}/media.m3u8",
            size=(rendition.width, rendition.height),
            frame_rate=rendition.frame_rate,
            # The size of the picture says more than surround sound does.
            score=Fraction(rank) + (Fraction(1, 2) if group == SURROUND_GROUP else 0),
            video_range=rendition.video_range,
            audio_group=group if members else None,
            subtitles_group=SUBTITLES_GROUP if presentation.subtitles else None,
            captions_group=CAPTIONS_GROUP if presentation.captions else None,
        )
        for rank, rendition in enumerate(presentation.video, start=1)
    ]


def _audio_variants(presentation: Presentation, rates: Mapping[str, BitRates]) -> list[Variant]:
    rendition = presentation.default_audio
    if rendition is None:
        raise ValueError("a presentation has renditions")
    return [
        Variant(
            bit_rates=_largest(rates[each.name] for each in members),
            codecs=tuple(dict.fromkeys(each.codecs for each in members)),
            uri=f"{_in_place_of(rendition, members).name}/media.m3u8",
            audio_group=group if len(presentation.audio) > 1 else None,
        )
        for group, members in _audio_groups(presentation)
    ]


def _audio_group(
    group: str, renditions: Sequence[AudioRendition], default: AudioRendition | None
) -> tuple[AudioMedia, ...]:
    first = _in_place_of(default, renditions) if default is not None else None
    return tuple(
        AudioMedia(
            group=group,
            name=name,
            language=rendition.language,
            default=rendition is first,
            channels=rendition.channels,
            uri=f"{rendition.name}/media.m3u8",
            describes_video=rendition.describes_video,
        )
        for rendition, name in zip(renditions, _unique([each.label for each in renditions]), strict=True)
    )


def _in_place_of(default: AudioRendition, members: Sequence[AudioRendition]) -> AudioRendition:
    """The one of a group's ``members`` that says what ``default`` says: itself, or the same in surround sound; else the
    first."""
    if any(each is default for each in members):
        return default
    said = (default.language, default.describes_video)
    return next((each for each in members if (each.language, each.describes_video) == said), members[0])


def _subtitles_group(renditions: Sequence[SubtitleRendition]) -> tuple[SubtitlesMedia, ...]:
    return tuple(
        SubtitlesMedia(
            name=name,
            language=rendition.language,
            default=rendition.default,
            forced=rendition.forced,
            for_deaf=rendition.for_deaf,
            uri=f"{rendition.name}/media.m3u8",
        )
        for rendition, name in zip(renditions, _unique([each.label for each in renditions]), strict=True)
    )


def _unique(labels: Sequence[str]) -> list[str]:
    """Names that are unique in their group: a label that was there before gets a number."""
    names: list[str] = []
    for label in labels:
        name, number = label, 1
        while name in names:
            number += 1
            name = f"{label} ({number})"
        names.append(name)
    return names


def _iframe_variant(rendition: VideoRendition, presentation: Presentation, rates: BitRates | None) -> IFrameVariant:
    return IFrameVariant(
        bit_rates=rates
        or measure_iframes(
            rendition.segments, timescale=rendition.timescale, target_duration_s=presentation.target_duration_s
        ),
        codecs=rendition.codecs,
        size=(rendition.width, rendition.height),
        uri=f"{rendition.name}/iframes.m3u8",
        video_range=rendition.video_range,
    )
