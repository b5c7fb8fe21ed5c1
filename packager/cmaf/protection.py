"""Sample encryption with ``cbcs`` (ISO/IEC 23001-7 section 10.4), on samples and in boxes.

Video: of each slice everything after its header, one block of 16 bytes in ten; other units stay clear (section 9.5,
9.6). Audio: whole samples but for a last part block (section 9.7). The IV is constant: the chain starts anew with every
subsample, so that each picture's bytes depend on nothing but itself and its key.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from packager.cmaf.avc_slices import AvcSlices
from packager.cmaf.boxes import box, full_box
from storage.content_keys import ContentKey
from storage.errors import WrongOutput
from storage.media.encryption import KeyFacts

SCHEME = b"cbcs"
VIDEO_PATTERN = (1, 9)
AUDIO_PATTERN = (0, 0)
"""Whole blocks: there is no pattern."""

_BLOCK = 16
_LONGEST_CLEAR = 0xFFFF
_SLICES = frozenset({1, 5})  # not those in partitions, which no encoder of ours writes
_USES_SUBSAMPLES = 2
_FRAGMENT_LOCAL = 0x10001  # the first description in this fragment (ISO/IEC 14496-12 section 8.9.4.3)

Subsamples = tuple[tuple[int, int], ...]
"""(clear bytes, protected bytes), in order."""


@dataclass(frozen=True, slots=True)
class ProtectedSamples:
    """Encrypted samples, as long as the clear ones were. ``subsamples`` is empty where samples are encrypted whole.
    ``key``: named in the fragment, where it is not the track's default."""

    media: list[bytes]
    subsamples: tuple[Subsamples, ...]
    key: KeyFacts | None
    pattern: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Protection:
    """Encrypts the samples of one track. ``slices`` and ``length_bytes`` (of NAL units' lengths): None and 0 for audio."""

    keys: Sequence[ContentKey]
    slices: AvcSlices | None = None
    length_bytes: int = 0

    def protect(self, segment: int, samples: Sequence[memoryview]) -> ProtectedSamples:
        """The samples of a fragment of segment number ``segment``."""
        key = key_of(self.keys, segment)
        named = None if key is self.keys[0] else key.facts
        if self.slices is None:
            media = [encrypted_blocks(sample, key) for sample in samples]
            return ProtectedSamples(media, (), named, AUDIO_PATTERN)
        found = [tuple(avc_subsamples(sample, self.slices, self.length_bytes)) for sample in samples]
        media = [encrypted_pattern(sample, spans, key) for sample, spans in zip(samples, found, strict=True)]
        return ProtectedSamples(media, tuple(map(split_clear, found)), named, VIDEO_PATTERN)


def key_of(keys: Sequence[ContentKey], segment: int) -> ContentKey:
    """The key of segment number ``segment``: the last one that holds from it or from before."""
    return next(key for key in reversed(keys) if key.facts.first_segment <= segment)


def encrypted_blocks(sample: memoryview, key: ContentKey) -> bytes:
    """``sample`` with all whole blocks encrypted; what is left over stays clear."""
    whole = len(sample) // _BLOCK * _BLOCK
    return _cipher(key).update(sample[:whole]) + bytes(sample[whole:])


def encrypted_pattern(sample: memoryview, subsamples: Subsamples, key: ContentKey) -> bytes:
    """``sample`` with one block in ten of each protected span encrypted, beginning with the first."""
    data = bytearray(sample)
    at = 0
    for clear, protected in subsamples:
        at += clear
        _encrypt_pattern(data, at, at + protected, key)
        at += protected
    return bytes(data)


def _encrypt_pattern(data: bytearray, start: int, stop: int, key: ContentKey) -> None:
    crypt, skip = VIDEO_PATTERN
    stride = (crypt + skip) * _BLOCK
    count = (stop - start + stride - _BLOCK) // stride  # blocks that are whole
    if count <= 0:
        return
    end = start + (count - 1) * stride + _BLOCK
    # The encrypted blocks make one chain: gathered column by column, which takes 16 copies whatever the picture's size.
    gathered = bytearray(count * _BLOCK)
    for column in range(_BLOCK):
        gathered[column::_BLOCK] = data[start + column : end : stride]
    done = _cipher(key).update(gathered)
    for column in range(_BLOCK):
        data[start + column : end : stride] = done[column::_BLOCK]


def _cipher(key: ContentKey) -> CipherContext:
    return Cipher(algorithms.AES(key.key), modes.CBC(bytes.fromhex(key.facts.iv))).encryptor()


def avc_subsamples(sample: memoryview, slices: AvcSlices, length_bytes: int) -> Iterator[tuple[int, int]]:
    """The spans of a picture: a slice's data is protected; lengths, headers and all other units are clear."""
    clear = at = 0
    while at < len(sample):
        size = int.from_bytes(sample[at : at + length_bytes], "big")
        unit = sample[at + length_bytes : at + length_bytes + size]
        if size == 0 or len(unit) != size:
            raise WrongOutput("A picture's NAL units do not fill it.", offset=at)
        at += length_bytes + size
        clear += length_bytes
        head = slices.header_bytes(unit) if unit[0] & 0x1F in _SLICES else size
        if size - head < _BLOCK:  # nothing in it makes a block
            clear += size
            continue
        yield clear + head, size - head
        clear = 0
    if clear:
        yield clear, 0


def split_clear(subsamples: Subsamples) -> Subsamples:
    """``subsamples`` with none that is longer than what 16 bits count."""
    if all(clear <= _LONGEST_CLEAR for clear, _ in subsamples):
        return subsamples
    split: list[tuple[int, int]] = []
    for whole, protected in subsamples:
        clear = whole
        while clear > _LONGEST_CLEAR:
            split.append((_LONGEST_CLEAR, 0))
            clear -= _LONGEST_CLEAR
        split.append((clear, protected))
    return tuple(split)


def fragment_boxes(protected: ProtectedSamples, *, offset: int) -> list[bytes]:
    """What a traf holds beside its run, from ``offset`` bytes after the start of the moof on: the key, if it is not the
    track's, and the map of subsamples. With a constant IV and whole samples there is nothing to map (section 7.2)."""
    boxes: list[bytes] = []
    if protected.key is not None:
        boxes += _key_group(protected.key, len(protected.media), protected.pattern)
    if not protected.subsamples:
        return boxes
    entries = [_packed(subsamples) for subsamples in protected.subsamples]
    sizes = bytes(map(len, entries)) if max(map(len, entries)) < 256 else None
    if sizes is None:
        raise WrongOutput("A picture has too many slices to be encrypted.")
    same = len(set(sizes)) == 1
    count = struct.pack(">I", len(entries))
    boxes.append(full_box(b"saiz", 0, 0, bytes([sizes[0]]) + count if same else b"\0" + count + sizes))
    senc = full_box(b"senc", 0, _USES_SUBSAMPLES, count, *entries)
    place = offset + sum(map(len, boxes)) + 20 + 16  # after this box and senc's own header and count
    boxes.append(full_box(b"saio", 0, 0, struct.pack(">II", 1, place)))
    return [*boxes, senc]


def _packed(subsamples: Subsamples) -> bytes:
    return struct.pack(">H", len(subsamples)) + b"".join(struct.pack(">HI", *each) for each in subsamples)


def _key_group(key: KeyFacts, samples: int, pattern: tuple[int, int]) -> list[bytes]:
    """A sample group that names another key than the track's (section 6)."""
    entry = bytes([0, _nibbles(pattern), 1, 0]) + _ids(key)
    return [
        full_box(b"sbgp", 0, 0, b"seig", struct.pack(">III", 1, samples, _FRAGMENT_LOCAL)),
        full_box(b"sgpd", 1, 0, b"seig", struct.pack(">II", len(entry), 1), entry),
    ]


def protection_info(original: bytes, key: KeyFacts, pattern: tuple[int, int]) -> bytes:
    """The sinf box of a sample entry that was ``original`` before: scheme, pattern, default key and constant IV."""
    default = full_box(b"tenc", 1, 0, bytes([0, _nibbles(pattern), 1, 0]) + _ids(key))
    return box(
        b"sinf",
        box(b"frma", original),
        full_box(b"schm", 0, 0, SCHEME, struct.pack(">I", 0x10000)),
        box(b"schi", default),
    )


def _ids(key: KeyFacts) -> bytes:
    iv = bytes.fromhex(key.iv)
    return bytes.fromhex(key.kid) + bytes([len(iv)]) + iv


def _nibbles(pattern: tuple[int, int]) -> int:
    return pattern[0] << 4 | pattern[1]
