"""What the bytes of an init segment say, of any codec."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from packager.cmaf.boxes import Box, child, children, find, reading, walk
from packager.cmaf.facts import read_facts
from packager.cmaf.samples import Defaults, read_defaults
from packager.conformance.protection import TrackKey, read_key, read_pssh_boxes
from storage.errors import WrongOutput

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


def measure_init(body: bytes) -> MeasuredInit:
    """What an init segment says of its first track; ``problem`` is set where it cannot be read."""
    data = memoryview(body)
    try:
        with reading():
            return _init(data)
    except WrongOutput as error:
        return MeasuredInit(problem=error.sentence)


def read_brands(data: memoryview, box: Box) -> tuple[str, ...]:
    """The major brand of an ``ftyp`` or ``styp`` box, and the compatible ones."""
    major = bytes(data[box.content : box.content + 4])
    rest = bytes(data[box.content + 8 : box.stop])
    return tuple(brand.decode("latin-1") for brand in (major, *(rest[at : at + 4] for at in range(0, len(rest), 4))))


def _init(data: memoryview) -> MeasuredInit:
    boxes = {box.kind: box for box in walk(data)}
    if b"moov" not in boxes:
        raise WrongOutput("There is no movie box.")
    brands = read_brands(data, boxes[b"ftyp"]) if b"ftyp" in boxes else ()
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
