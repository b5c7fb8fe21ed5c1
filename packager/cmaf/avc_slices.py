"""How long the header of an H.264 slice is (ITU-T H.264 section 7.3.3): sample encryption leaves it clear.

Parameter sets come from the track's avcC. Only syntax is read, and of that only what stands before the slice's data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from packager.cmaf.boxes import reading
from storage.errors import WrongOutput

_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_HEADER_BYTES = 192  # of a slice: more than any header that an encoder writes
_P, _B, _I, _SP, _SI = range(5)
_IDR = 5


class _Bits:
    """Reads a raw byte sequence payload bit by bit."""

    __slots__ = ("_bits", "_left", "_value")

    def __init__(self, payload: bytes) -> None:
        self._value = int.from_bytes(payload, "big")
        self._bits = self._left = 8 * len(payload)

    @property
    def position(self) -> int:
        return self._bits - self._left

    def u(self, count: int) -> int:
        if count > self._left:
            raise WrongOutput("A slice header is cut short.")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        """Exponential Golomb code (section 9.1)."""
        rest = self._value & ((1 << self._left) - 1)
        zeros = self._left - rest.bit_length()
        self._left -= zeros
        return self.u(zeros + 1) - 1

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sequence:
    """What slice headers need of a sequence parameter set."""

    separate_planes: bool
    has_chroma: bool
    frame_num_bits: int
    order_type: int
    order_bits: int
    order_always_zero: bool
    frames_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """What slice headers need of a picture parameter set."""

    sequence: int
    cabac: bool
    bottom_order: bool
    references: tuple[int, int]
    weighted: bool
    weighted_both: int
    deblocking: bool
    redundant: bool


@dataclass(frozen=True, slots=True)
class AvcSlices:
    """The parameter sets of one track."""

    sequences: Mapping[int, _Sequence]
    pictures: Mapping[int, _Picture]

    @classmethod
    def of(cls, configuration: memoryview) -> AvcSlices:
        """From the content of an avcC box (ISO/IEC 14496-15 section 5.3.3.1)."""
        sequences: dict[int, _Sequence] = {}
        pictures: dict[int, _Picture] = {}
        with reading():
            at = 6
            for _ in range(configuration[5] & 0x1F):
                at, unit = _sized(configuration, at)
                number, sequence = _read_sequence(unit)
                sequences[number] = sequence
            at, count = at + 1, configuration[at]
            for _ in range(count):
                at, unit = _sized(configuration, at)
                number, picture = _read_picture(unit)
                pictures[number] = picture
        return cls(sequences, pictures)

    def header_bytes(self, unit: memoryview) -> int:
        """Bytes of NAL unit ``unit``, a slice, up to the end of the byte in which its header ends."""
        escaped = bytes(unit[1:_HEADER_BYTES])
        payload = unescaped(escaped)
        bits = _Bits(payload)
        self._skip_header(bits, unit[0])
        used = -(-bits.position // 8)
        return 1 + escaped_length(escaped, used)

    def _skip_header(self, bits: _Bits, first: int) -> None:
        kind, is_reference = first & 0x1F, bool(first >> 5 & 3)
        bits.ue()  # first_mb_in_slice
        slice_type = bits.ue() % 5
        picture = self.pictures.get(bits.ue())
        sequence = self.sequences.get(picture.sequence) if picture else None
        if picture is None or sequence is None:
            raise WrongOutput("A slice names parameter sets that the track does not have.")
        if sequence.separate_planes:
            bits.u(2)
        bits.u(sequence.frame_num_bits)
        field = not sequence.frames_only and bool(bits.u(1))
        if field:
            bits.u(1)  # bottom_field_flag
        if kind == _IDR:
            bits.ue()  # idr_pic_id
        _skip_order(bits, sequence, paired=picture.bottom_order and not field)
        if picture.redundant:
            bits.ue()
        if slice_type == _B:
            bits.u(1)  # direct_spatial_mv_pred_flag
        counts = list(picture.references)
        if slice_type in (_P, _SP, _B) and bits.u(1):
            counts[0] = bits.ue() + 1
            if slice_type == _B:
                counts[1] = bits.ue() + 1
        _skip_reordering(bits, slice_type)
        if (picture.weighted and slice_type in (_P, _SP)) or (picture.weighted_both == 1 and slice_type == _B):
            _skip_weights(bits, counts[: 2 if slice_type == _B else 1], has_chroma=sequence.has_chroma)
        if is_reference:
            _skip_marking(bits, is_idr=kind == _IDR)
        if picture.cabac and slice_type not in (_I, _SI):
            bits.ue()  # cabac_init_idc
        bits.se()  # slice_qp_delta
        for _ in range({_SP: 2, _SI: 1}.get(slice_type, 0)):
            bits.ue()  # sp_for_switch_flag and slice_qs_delta: a code of one bit and one of several
        if picture.deblocking and bits.ue() != 1:
            bits.se()
            bits.se()


def unescaped(escaped: bytes) -> bytes:
    """``escaped`` without emulation prevention bytes (section 7.4.1)."""
    return escaped.replace(b"\0\0\3", b"\0\0") if b"\0\0\3" in escaped else escaped


def escaped_length(escaped: bytes, payload_bytes: int) -> int:
    """How many bytes of ``escaped`` hold the first ``payload_bytes`` of what it says."""
    length, zeros, seen = 0, 0, 0
    while seen < payload_bytes:
        if zeros >= 2 and escaped[length] == 3:
            zeros = 0
        else:
            zeros = zeros + 1 if escaped[length] == 0 else 0
            seen += 1
        length += 1
    return length


def _sized(data: memoryview, at: int) -> tuple[int, memoryview]:
    """A unit with its length in 16 bits before it, and where it ends."""
    size = int.from_bytes(data[at : at + 2], "big")
    return at + 2 + size, data[at + 2 : at + 2 + size]


def _read_sequence(unit: memoryview) -> tuple[int, _Sequence]:
    """Section 7.3.2.1.1."""
    bits = _Bits(unescaped(bytes(unit[1:])))
    profile = bits.u(8)
    bits.u(16)
    number = bits.ue()
    chroma, separate = 1, False
    if profile in _HIGH_PROFILES:
        chroma = bits.ue()
        separate = chroma == 3 and bool(bits.u(1))
        bits.ue()
        bits.ue()
        bits.u(1)
        if bits.u(1):
            for index in range(12 if chroma == 3 else 8):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_num_bits = bits.ue() + 4
    order_type = bits.ue()
    order_bits, always_zero = 0, False
    if order_type == 0:
        order_bits = bits.ue() + 4
    elif order_type == 1:
        always_zero = bool(bits.u(1))
        bits.se()
        bits.se()
        for _ in range(bits.ue()):
            bits.se()
    bits.ue()  # max_num_ref_frames
    bits.u(1)
    bits.ue()
    bits.ue()
    return number, _Sequence(
        separate_planes=separate,
        has_chroma=chroma != 0 and not separate,
        frame_num_bits=frame_num_bits,
        order_type=order_type,
        order_bits=order_bits,
        order_always_zero=always_zero,
        frames_only=bool(bits.u(1)),
    )


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _read_picture(unit: memoryview) -> tuple[int, _Picture]:
    """Section 7.3.2.2."""
    bits = _Bits(unescaped(bytes(unit[1:])))
    number, sequence = bits.ue(), bits.ue()
    cabac, bottom_order = bool(bits.u(1)), bool(bits.u(1))
    if bits.ue():
        raise WrongOutput("Slice groups are not what we package.")
    references = (bits.ue() + 1, bits.ue() + 1)
    weighted, weighted_both = bool(bits.u(1)), bits.u(2)
    for _ in range(3):  # initial QP, QS, and the offset of chroma
        bits.se()
    deblocking = bool(bits.u(1))
    bits.u(1)
    return number, _Picture(
        sequence=sequence,
        cabac=cabac,
        bottom_order=bottom_order,
        references=references,
        weighted=weighted,
        weighted_both=weighted_both,
        deblocking=deblocking,
        redundant=bool(bits.u(1)),
    )


def _skip_order(bits: _Bits, sequence: _Sequence, *, paired: bool) -> None:
    if sequence.order_type == 0:
        bits.u(sequence.order_bits)
        if paired:
            bits.se()
    elif sequence.order_type == 1 and not sequence.order_always_zero:
        bits.se()
        if paired:
            bits.se()


def _skip_reordering(bits: _Bits, slice_type: int) -> None:
    """ref_pic_list_modification (section 7.3.3.1)."""
    lists = 0 if slice_type in (_I, _SI) else 2 if slice_type == _B else 1
    for _ in range(lists):
        if bits.u(1):
            while bits.ue() != 3:
                bits.ue()


def _skip_weights(bits: _Bits, counts: list[int], *, has_chroma: bool) -> None:
    """pred_weight_table (section 7.3.3.2)."""
    bits.ue()
    if has_chroma:
        bits.ue()
    for count in counts:
        for _ in range(count):
            for values in (2, 4)[: 1 + has_chroma]:
                if bits.u(1):
                    for _ in range(values):
                        bits.se()


def _skip_marking(bits: _Bits, *, is_idr: bool) -> None:
    """dec_ref_pic_marking (section 7.3.3.3)."""
    if is_idr:
        bits.u(2)
    elif bits.u(1):
        while operation := bits.ue():
            for _ in range({1: 1, 2: 1, 3: 2, 4: 1, 6: 1}.get(operation, 0)):
                bits.ue()
