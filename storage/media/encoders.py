"""The encoders of H.264 that a rung may be made by: the CPU's, and those of graphics cards."""

from __future__ import annotations

from enum import StrEnum


class Family(StrEnum):
    """A kind of graphics hardware with its programming interface."""

    NVENC = "nvenc"  # NVIDIA
    VAAPI = "vaapi"  # Intel and AMD on Linux
    QSV = "qsv"  # Intel


class Encoder(StrEnum):
    X264 = "libx264"
    NVENC = "h264_nvenc"
    VAAPI = "h264_vaapi"
    QSV = "h264_qsv"

    @property
    def family(self) -> Family | None:
        """The hardware that it needs; None: any CPU."""
        return None if self is Encoder.X264 else Family[self.name]


def encoder_of(family: Family | None) -> Encoder:
    return Encoder.X264 if family is None else Encoder[family.name]
