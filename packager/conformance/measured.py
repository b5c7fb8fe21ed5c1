"""What the bytes of init segments and segments say, of any codec: boxes are read, media data only where a picture starts."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from fractions import Fraction

from packager.cmaf.boxes import Box, child, children, find, reading, walk
from packager.cmaf.facts import read_facts
from packager.cmaf.samples import Defaults, Sample, read_defaults, read_traf
from packager.conformance.protection import (
    MeasuredProtection,
    TrackKey,
    measure_protection,
    read_key,
    read_pssh_boxes,
)
from storage.errors import WrongOutput

_BASE_DATA_OFFSET, _DEFAULT_BASE_IS_MOOF = 0x1, 0x020000
_VISUAL = frozenset({b"avc1", b"avc3", b"hvc1", b"hev1", b"vp09", b"av01", b"dvh1", b"dvhe", b"encv", b"mp4v"})
_SOUND = frozenset({b"mp4a", b"ac-3", b"ec-3", b"Opus", b"fLaC", b"enca", b"alac"})
_WHOLE_AUDIO_HEADER, _WHOLE_VISUAL_HEADER = 28, 78


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredInit:
    """An init segment. ``kind``: video, audio or text. ``codecs``: as of RFC 6381 for H.264 and AAC, else the sample entry's
    name. ``width``/``height``: as displayed."""

    brands: tuple[str, ...] = ()
    tracks: int = 0
    track_id: int = 0
    kind: str = ""
    entry: str = ""
    codecs: str = ""
    timescale: int = 1
    width: int = 0
    height: int = 0
    coded_width: int = 0
    coded_height: int = 0
    channels: int = 0
    transfer: int | None = None
    colour: bool = False
    pixel_shape: bool = False
    parameter_sets: int | None = None
    nal_length_bytes: int = 0
    edits: tuple[tuple[int, int], ...] = ()
    """(segment duration, media time) of each entry of the edit list."""
    scheme: str | None = None
    key: TrackKey | None = None
    original: str | None = None
    """What the sample entry was before it was encrypted."""
    pssh: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(system, key ids) of the boxes that tell which keys to ask for."""
    pssh_problem: str | None = None
    dated: bool = False
    """A time of creation or modification is in it."""
    defaults: Defaults = field(default_factory=lambda: Defaults(0, 0, 0))
    problem: str | None = None

    @property
    def encrypted(self) -> bool:
        return self.scheme is not None

    @property
    def key_id(self) -> str | None:
        return self.key.kid if self.key is not None else None

    @property
    def pattern(self) -> tuple[int, int] | None:
        return self.key.pattern if self.key is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFragment:
    """One moof with its mdat, at bytes [start, stop) of its segment. Ticks are of the track's timescale."""

    start: int
    stop: int
    sequence: int
    tracks: int
    runs: int
    track_id: int
    decode_ticks: int | None
    base_is_moof: bool
    repeats_defaults: bool
    run_version: int
    samples: int
    duration_ticks: int
    present_from: int
    present_to: int
    starts_with_sync: bool
    syncs: int
    starts_with_key_picture: bool | None
    """None where the codec does not tell us."""
    wrong_flags: int
    """How many samples are marked as sync against what is coded."""
    outside: int
    """How many samples lie outside of the mdat."""
    shortest_ticks: int
    protected: int
    """How many samples have encryption data of their own; -1: all, by the track's constant one."""
    sync_times: tuple[int, ...]
    protection: MeasuredProtection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSegment:
    size_bytes: int
    brands: tuple[str, ...]
    fragments: tuple[MeasuredFragment, ...]
    problem: str | None = None

    @property
    def start_ticks(self) -> int | None:
        return self.fragments[0].decode_ticks if self.fragments else None

    @property
    def duration_ticks(self) -> int:
        return sum(fragment.duration_ticks for fragment in self.fragments)

    @property
    def present_from(self) -> int:
        return min((fragment.present_from for fragment in self.fragments if fragment.samples), default=0)


def measure_init(body: bytes) -> MeasuredInit:
    """What an init segment says of its first track; ``problem`` is set where it cannot be read."""
    data = memoryview(body)
    try:
        with reading():
            return _init(data)
    except WrongOutput as error:
        return MeasuredInit(problem=error.sentence)


def measure_segment(body: bytes, init: MeasuredInit) -> MeasuredSegment:
    """What a segment, or a range of one, holds; ``problem`` is set where its boxes are not whole."""
    data = memoryview(body)
    brands: tuple[str, ...] = ()
    fragments: list[MeasuredFragment] = []
    problem = None
    moof: Box | None = None
    try:
        with reading():
            for box in walk(data):
                if box.kind == b"styp":
                    brands = _brands(data, box)
                elif box.kind == b"moof":
                    moof = box
                elif box.kind == b"mdat" and moof is not None:
                    fragments.append(_fragment(data, moof, box, init))
                    moof = None
    except WrongOutput as error:
        problem = error.sentence
        if moof is not None:  # a range that ends inside of the media data
            problem = "The media data is cut short."
            try:
                with reading():
                    rest = Box(kind=b"mdat", start=moof.stop, content=min(moof.stop + 8, len(data)), stop=len(data))
                    fragments.append(_fragment(data, moof, rest, init))
            except WrongOutput:
                problem = error.sentence
    if not fragments and problem is None:
        problem = "There is no fragment in it."
    return MeasuredSegment(size_bytes=len(body), brands=brands, fragments=tuple(fragments), problem=problem)


def parse_index(body: bytes) -> list[tuple[int, int]]:
    """(bytes, ticks) of every segment that the first segment index box lists; empty where there is none."""
    data = memoryview(body)
    try:
        with reading():
            for box in walk(data):
                if box.kind == b"sidx":
                    at = box.content + (24 if data[box.content] == 0 else 32)
                    (count,) = struct.unpack_from(">H", data, at - 2)
                    rows = struct.Struct(">III")
                    found = [rows.unpack_from(data, at + 12 * index) for index in range(count)]
                    return [(size & 0x7FFFFFFF, ticks) for size, ticks, _ in found]
    except WrongOutput:
        return []
    return []


def _brands(data: memoryview, box: Box) -> tuple[str, ...]:
    major = bytes(data[box.content : box.content + 4])
    rest = bytes(data[box.content + 8 : box.stop])
    return tuple(brand.decode("latin-1") for brand in (major, *(rest[at : at + 4] for at in range(0, len(rest), 4))))


def _init(data: memoryview) -> MeasuredInit:
    boxes = {box.kind: box for box in walk(data)}
    if b"moov" not in boxes:
        raise WrongOutput("There is no movie box.")
    brands = _brands(data, boxes[b"ftyp"]) if b"ftyp" in boxes else ()
    tracks = children(data, boxes[b"moov"], b"trak")
    if not tracks:
        raise WrongOutput("There is no track.")
    track = tracks[0]
    header = child(data, track, b"tkhd")
    (track_id,) = struct.unpack_from(">I", data, header.content + (12 if data[header.content] == 0 else 20))
    shown = struct.unpack_from(">II", data, header.stop - 8)
    media = child(data, track, b"mdia", b"mdhd")
    (timescale,) = struct.unpack_from(">I", data, media.content + (12 if data[media.content] == 0 else 20))
    descriptions = child(data, track, b"mdia", b"minf", b"stbl", b"stsd")
    entry = next(walk(data, descriptions.content + 8, descriptions.stop), None)
    if entry is None:
        raise WrongOutput("There is no sample entry.")
    pssh, pssh_problem = read_pssh_boxes(data, boxes[b"moov"])
    values = {
        "brands": brands,
        "tracks": len(tracks),
        "track_id": track_id,
        "timescale": max(1, timescale),
        "edits": _edits(data, track),
        "dated": any(_dated(data, box) for box in (child(data, boxes[b"moov"], b"mvhd"), header, media)),
        "defaults": read_defaults(data),
        "codecs": _codecs(data, entry),
        "pssh": pssh,
        "pssh_problem": pssh_problem,
        **_entry(data, entry, (shown[0] >> 16, shown[1] >> 16)),
    }
    return MeasuredInit(**values)


def _dated(data: memoryview, header: Box) -> bool:
    return any(data[header.content + 4 : header.content + (12 if data[header.content] == 0 else 20)])


def _codecs(data: memoryview, entry: Box) -> str:
    try:
        return read_facts(data).codecs
    except WrongOutput:
        return _entry_kind(data, entry)


def _entry_kind(data: memoryview, entry: Box) -> str:
    fixed = _WHOLE_AUDIO_HEADER if entry.kind == b"enca" else _WHOLE_VISUAL_HEADER
    if entry.kind in (b"encv", b"enca"):
        for box in walk(data, entry.content + fixed, entry.stop):
            if box.kind == b"sinf":
                original = find(data, box, b"frma")
                if original is not None:
                    return bytes(data[original.content : original.content + 4]).decode("latin-1")
    return entry.kind.decode("latin-1")


def _entry(data: memoryview, entry: Box, shown: tuple[int, int]) -> dict[str, object]:
    values: dict[str, object] = {"entry": _entry_kind(data, entry)}
    if entry.kind in _VISUAL:
        coded = struct.unpack_from(">HH", data, entry.content + 24)
        values |= {"kind": "video", "coded_width": coded[0], "coded_height": coded[1]}
        values |= {"width": shown[0] or coded[0], "height": shown[1] or coded[1]}
        inside = list(walk(data, entry.content + _WHOLE_VISUAL_HEADER, entry.stop))
    elif entry.kind in _SOUND:
        (channels,) = struct.unpack_from(">H", data, entry.content + 16)
        values |= {"kind": "audio", "channels": channels}
        inside = list(walk(data, entry.content + _WHOLE_AUDIO_HEADER, entry.stop))
        if values["entry"] == "mp4a" and entry.kind == b"mp4a":
            facts = read_facts(data) if _is_aac(data) else None
            channels = getattr(facts, "channels", channels)
            values["channels"] = channels
    else:
        return values | {"kind": "text"}
    for box in inside:
        match box.kind:
            case b"colr":
                values["colour"] = True
                if bytes(data[box.content : box.content + 4]) == b"nclx":
                    values["transfer"] = struct.unpack_from(">H", data, box.content + 6)[0]
            case b"pasp":
                values["pixel_shape"] = True
            case b"avcC":
                values |= _avc(data, box)
            case b"hvcC":
                values |= {
                    "parameter_sets": data[box.content + 22],
                    "nal_length_bytes": (data[box.content + 21] & 3) + 1,
                }
            case b"sinf":
                values |= _protection(data, box)
    return values


def _is_aac(data: memoryview) -> bool:
    try:
        read_facts(data)
    except WrongOutput:
        return False
    return True


def _avc(data: memoryview, box: Box) -> dict[str, object]:
    at = box.content + 6
    sequence_sets = data[box.content + 5] & 0x1F
    for _ in range(sequence_sets):
        at += 2 + int.from_bytes(data[at : at + 2], "big")
    picture_sets = data[at] if at < box.stop else 0
    both = min(sequence_sets, picture_sets)
    return {"parameter_sets": both, "nal_length_bytes": (data[box.content + 4] & 3) + 1}


def _protection(data: memoryview, sinf: Box) -> dict[str, object]:
    scheme = find(data, sinf, b"schm")
    tenc = find(data, sinf, b"schi", b"tenc")
    original = find(data, sinf, b"frma")
    values: dict[str, object] = {"scheme": "?"}
    if original is not None:
        values["original"] = bytes(data[original.content : original.content + 4]).decode("latin-1")
    if scheme is not None:
        values["scheme"] = bytes(data[scheme.content + 4 : scheme.content + 8]).decode("latin-1")
    if tenc is not None:
        values["key"] = read_key(data[tenc.content + 5 : tenc.stop], version=data[tenc.content])
    return values


def _edits(data: memoryview, track: Box) -> tuple[tuple[int, int], ...]:
    box = find(data, track, b"edts", b"elst")
    if box is None:
        return ()
    row = struct.Struct(">IiI" if data[box.content] == 0 else ">QqI")
    (count,) = struct.unpack_from(">I", data, box.content + 4)
    rows = (row.unpack_from(data, box.content + 8 + index * row.size) for index in range(min(count, 1000)))
    return tuple((duration, time) for duration, time, _ in rows)


def _fragment(data: memoryview, moof: Box, mdat: Box, init: MeasuredInit) -> MeasuredFragment:
    trafs = children(data, moof, b"traf")
    if not trafs:
        raise WrongOutput("A fragment has no track.")
    traf = trafs[0]
    sequence = find(data, moof, b"mfhd")
    header = child(data, traf, b"tfhd")
    flags, track_id = struct.unpack_from(">II", data, header.content)
    runs = children(data, traf, b"trun")
    decode = find(data, traf, b"tfdt")
    ticks = None
    if decode is not None:
        (ticks,) = struct.unpack_from(">Q" if data[decode.content] == 1 else ">I", data, decode.content + 4)
    samples = read_traf(data, moof, traf, init.defaults) if ticks is not None else []
    keys = [_is_key(data, sample, init) for sample in samples if sample.offset + sample.size <= len(data)]
    return MeasuredFragment(
        start=moof.start,
        stop=mdat.stop,
        sequence=struct.unpack_from(">I", data, sequence.content + 4)[0] if sequence else 0,
        tracks=len(trafs),
        runs=len(runs),
        track_id=track_id,
        decode_ticks=ticks,
        base_is_moof=bool(flags & _DEFAULT_BASE_IS_MOOF) and not flags & _BASE_DATA_OFFSET,
        repeats_defaults=_repeats_defaults(data, flags, runs),
        run_version=data[runs[0].content] if runs else 0,
        samples=len(samples),
        duration_ticks=sum(sample.duration_ticks for sample in samples),
        present_from=min((sample.present_ticks for sample in samples), default=0),
        present_to=max((sample.present_ticks + sample.duration_ticks for sample in samples), default=0),
        starts_with_sync=bool(samples) and samples[0].sync,
        syncs=sum(sample.sync for sample in samples),
        starts_with_key_picture=keys[0] if keys else None,
        wrong_flags=sum(key is not None and key != sample.sync for key, sample in zip(keys, samples, strict=False)),
        outside=sum(
            not mdat.content <= sample.offset <= sample.offset + sample.size <= mdat.stop for sample in samples
        ),
        shortest_ticks=min((sample.duration_ticks for sample in samples), default=0),
        protected=_protected(data, traf, init),
        sync_times=tuple(sample.present_ticks for sample in samples if sample.sync),
        protection=_protection_of(data, moof, traf, samples, init) if init.encrypted else None,
    )


def _protection_of(
    data: memoryview, moof: Box, traf: Box, samples: list[Sample], init: MeasuredInit
) -> MeasuredProtection | None:
    key = init.key
    hevc = init.entry.startswith("h")
    return measure_protection(data, moof, traf, samples, default=key, nal_bytes=init.nal_length_bytes, hevc=hevc)


def _protected(data: memoryview, traf: Box, init: MeasuredInit) -> int:
    if not init.encrypted:
        return 0
    own = find(data, traf, b"senc")
    if own is not None:
        return int.from_bytes(data[own.content + 4 : own.content + 8], "big")
    groups = find(data, traf, b"sgpd")  # a sample group may say that these samples are clear, or name another key
    if groups is not None and bytes(data[groups.content + 4 : groups.content + 8]) == b"seig":
        return 0 if data[groups.content + 18] == 0 else -1
    return -1


def _repeats_defaults(data: memoryview, header_flags: int, runs: list[Box]) -> bool:
    """Whether duration, size and flags of every sample are said in the fragment itself."""
    for run in runs:
        (word,) = struct.unpack_from(">I", data, run.content)
        for default, own in ((0x8, 0x100), (0x10, 0x200), (0x20, 0x400)):
            if not header_flags & default and not word & own:
                return False
    return True


def _is_key(data: memoryview, sample: Sample, init: MeasuredInit) -> bool | None:
    """Whether a sample's pictures are IDR (H.264) or IRAP (H.265); None for other codecs and encrypted samples."""
    length = init.nal_length_bytes
    if init.encrypted or not length or init.entry not in ("avc1", "avc3", "hvc1", "hev1"):
        return None
    at, stop = sample.offset, sample.offset + sample.size
    while at + length < stop:
        first = data[at + length]
        if init.entry.startswith("avc"):
            kind = first & 0x1F
            if 1 <= kind <= 5:
                return kind == 5
        else:
            kind = first >> 1 & 0x3F
            if kind < 32:
                return 16 <= kind <= 23
        at += length + int.from_bytes(data[at : at + length], "big")
    return None


def seconds_of(ticks: int, init: MeasuredInit) -> Fraction:
    return Fraction(ticks, init.timescale)
