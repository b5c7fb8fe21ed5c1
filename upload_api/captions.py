"""What an uploaded file of subtitles has to be, before it goes to the store. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

from packager.subrip import parse_subrip
from packager.subtitles import MOST_SEGMENTED_BYTES, Subtitles, parse_webvtt, segmented_bytes
from storage.errors import InvalidRequest, WrongOutput
from storage.media.languages import UNDETERMINED, normalise_language

MAX_CAPTION_BYTES = 4 << 20
"""Everything that is said in a day is less than half of it."""
MAX_CUES = 50_000
MAX_LINE_CHARACTERS = 20_000
MAX_STYLE_BYTES = 16 << 10
"""Of style and region blocks, which stand in every segment."""
MAX_LABEL_CHARACTERS = 80

_TRACK = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MAX_TRACK_CHARACTERS = 32
_FOLDER = "text-"
_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))


def checked_captions(data: bytes) -> Subtitles:
    """The cues of a WebVTT or SubRip file. Raises `InvalidRequest` with what is wrong with it."""
    text = _decoded(data)
    if "\x00" in text:
        raise InvalidRequest("This is not a text file.")
    if max(map(len, text.replace("\r", "\n").split("\n"))) > MAX_LINE_CHARACTERS:
        raise InvalidRequest(f"A line of this file has more than {MAX_LINE_CHARACTERS} characters.")
    try:
        found = parse_webvtt(text) if text.lstrip().startswith("WEBVTT") else parse_subrip(text)
    except WrongOutput as error:
        raise InvalidRequest("This is neither WebVTT (.vtt) nor SubRip (.srt).") from error
    if not found.cues:
        raise InvalidRequest("There is no cue in this file, or none that ends after it begins.")
    if len(found.cues) > MAX_CUES:
        raise InvalidRequest(f"There are {len(found.cues)} cues in this file; {MAX_CUES} are the most that we take.")
    if sum(len(style.encode()) for style in found.styles) > MAX_STYLE_BYTES:
        raise InvalidRequest(
            f"The STYLE and REGION blocks of this file have more than {MAX_STYLE_BYTES >> 10} KiB, which every segment repeats."
        )
    return found


def check_segmented(found: Subtitles, *, duration: Fraction, segment: Fraction) -> None:
    """Raises `InvalidRequest` where cues stand for so long that the segments of the film would be many times the file."""
    if segmented_bytes(found, duration=duration, segment=segment) > MOST_SEGMENTED_BYTES:
        raise InvalidRequest(
            "So many cues of this file stand at once, or styles are so long, that its segments would have more than "
            f"{MOST_SEGMENTED_BYTES >> 20} MiB together: a cue ends when it has been read."
        )


def _decoded(data: bytes) -> str:
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            "This file is not UTF-8. Save it with that encoding, so that every letter stays what it is."
        ) from error


def rendition_name(track: str) -> str:
    """The folder of ``track`` in URLs; raises `InvalidRequest` for a name that cannot be one."""
    if not _TRACK.fullmatch(track) or len(track) > _MAX_TRACK_CHARACTERS:
        raise InvalidRequest(
            "A track's name is made of lower-case letters, digits and dashes between them, for example en or pt-br-cc.",
            track=track[:80],
        )
    return _FOLDER + track


def track_of(rendition: str) -> str:
    return rendition.removeprefix(_FOLDER)


def spoken_language(track: str, said: str | None) -> str:
    """The language of a track: what is said of it, or what its name begins with. Raises `InvalidRequest` for a word that
    is no language tag."""
    if said is None:
        return normalise_language(track.partition("-")[0])
    tag = normalise_language(said)
    if tag == UNDETERMINED and said.strip().lower() != UNDETERMINED:
        raise InvalidRequest("language is a language tag, for example de or pt-BR.")
    return tag
