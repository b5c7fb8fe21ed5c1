"""Sources unlike what cameras of today make, judged by the pictures that come out."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest
from PIL import Image

from storage.catalogue import Video
from storage.lifecycle import VideoState
from tests.conformant import assert_conformant
from tests.media import samples_heard
from tests.pipeline import through_the_pipeline
from workers.ffmpeg.process import Tools, find_tools

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SIZE = "192x160"


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


@pytest.fixture
def make(tools: Tools, tmp_path: Path) -> Callable[..., Path]:
    """Runs ffmpeg with these arguments; the last one is the name of the file."""

    def run(*argv: str) -> Path:
        *options, name = argv
        subprocess.run([str(tools.ffmpeg), "-v", "error", *options, str(tmp_path / name)], check=True)
        return tmp_path / name

    return run


@pytest.fixture
def ready(tools: Tools, tmp_path: Path) -> Callable[[Path], Video]:
    """The video that comes of a file; what is published lies in ``site``."""

    def run(file: Path) -> Video:
        video, _ = through_the_pipeline(file, tmp_path, tools)
        assert (video.state, video.reason) == (VideoState.READY, None)
        return video

    return run


def flat(color: str, rate: int = 12, seconds: float = 0.5) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", f"color={color}:size={SIZE}:rate={rate}:duration={seconds}")


def decoded(folder: Path) -> list[Image.Image]:
    """Each picture of the top rung."""
    rendition = max(
        (path.parent for path in (folder / "site").glob("*p/media.m3u8")), key=lambda each: int(each.name[:-1])
    )
    init, *segments = sorted(rendition.glob("*.m*4*"), key=lambda path: (path.suffix != ".mp4", path.name))
    whole = folder / "whole.mp4"
    whole.write_bytes(init.read_bytes() + b"".join(segment.read_bytes() for segment in segments))
    with av.open(str(whole)) as film:
        return [frame.to_image() for frame in film.decode(video=0)]


def shown(folder: Path, place: tuple[int, int] = (2, 2)) -> list[tuple[int, int, int]]:
    """Each picture of the top rung at ``place``, in quarters of it: (red, green, blue) after decoding."""
    pictures = decoded(folder)
    return [picture.getpixel((picture.width * place[0] // 4, picture.height * place[1] // 4)) for picture in pictures]


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        # Untouched, these codes are 40, 98 and 156. PQ puts 100 candelas at 520, near white on a screen of today …
        pytest.param("smpte2084", (26, 97, 207), id="HDR10"),
        # … and HLG was made so that greys look right on it.
        pytest.param("arib-std-b67", (40, 97, 152), id="HLG"),
    ],
)
def test_hdr_is_mapped_into_the_range_that_screens_show(
    transfer: str, expected: tuple[int, ...], make: Callable[..., Path], tools: Tools
) -> None:
    """Greys stay grey, and brighter ones brighter: neither crushed to black nor burnt to white."""
    levels = []
    for code in (200, 400, 600):  # of 1023
        hdr = f"format=yuv420p10le,geq=lum={code}:cb=512:cr=512"
        tags = ("-color_trc", transfer, "-color_primaries", "bt2020", "-colorspace", "bt2020nc", "-color_range", "tv")
        x264 = f"transfer={transfer}:colorprim=bt2020:colormatrix=bt2020nc"
        film = make(*flat("gray"), "-vf", hdr, "-c:v", "libx264", "-x264-params", x264, *tags, f"{code}.mp4")
        folder = film.with_suffix("")
        video, _ = through_the_pipeline(film, folder, tools)
        assert video.state is VideoState.READY
        assert "tone_mapped" in {note.code for note in video.notes}
        colors = shown(folder)[0]
        assert max(colors) - min(colors) <= 4
        levels.append(colors[1])
    assert [abs(level - wanted) < 10 for level, wanted in zip(levels, expected, strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("transfer", "chroma", "strongest"),
    [
        pytest.param("smpte2084", (490, 570), 0, id="red in HDR10"),
        pytest.param("arib-std-b67", (460, 460), 1, id="green in HLG"),
        pytest.param("arib-std-b67", (570, 500), 2, id="blue in HLG"),
    ],
)
def test_hdr_colours_keep_their_hue_and_are_neither_pale_nor_clipped(
    transfer: str, chroma: tuple[int, int], strongest: int, make: Callable[..., Path], tools: Tools
) -> None:
    """Measured after decoding: the strongest of red, green and blue is the one that was meant, by far."""
    hdr = f"format=yuv420p10le,geq=lum=400:cb={chroma[0]}:cr={chroma[1]}"
    tags = ("-color_trc", transfer, "-color_primaries", "bt2020", "-colorspace", "bt2020nc", "-color_range", "tv")
    x264 = f"transfer={transfer}:colorprim=bt2020:colormatrix=bt2020nc"
    film = make(*flat("gray", seconds=0.3), "-vf", hdr, "-c:v", "libx264", "-x264-params", x264, *tags, "film.mp4")
    folder = film.with_suffix("")
    video, _ = through_the_pipeline(film, folder, tools)
    assert video.state is VideoState.READY
    color = shown(folder)[0]
    others = [level for channel, level in enumerate(color) if channel != strongest]
    assert color[strongest] - max(others) > 15, color
    assert 60 < color[strongest] < 250, color


@pytest.mark.parametrize(
    ("options", "name"),
    [
        pytest.param(("-c:v", "libx264", "-pix_fmt", "yuv444p"), "film.mp4", id="4:4:4"),
        pytest.param(("-c:v", "libx264", "-pix_fmt", "yuv422p10le"), "film.mp4", id="4:2:2 in 10 bits"),
        pytest.param(("-c:v", "libx264rgb", "-pix_fmt", "bgr24"), "film.mkv", id="RGB"),
        pytest.param(("-c:v", "png", "-pix_fmt", "rgba"), "film.mov", id="alpha"),
        pytest.param(("-c:v", "ffv1", "-pix_fmt", "gbrp10le"), "film.mkv", id="RGB in 10 bits"),
        pytest.param(("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"), "film.avi", id="full range"),
        pytest.param((), "film.gif", id="palette"),
    ],
)
def test_colours_stay_what_they_are_in_every_pixel_format(
    options: tuple[str, ...], name: str, make: Callable[..., Path], ready: Callable[[Path], Video], tmp_path: Path
) -> None:
    ready(make(*flat("0xC04020"), *options, name))
    for red, green, blue in shown(tmp_path):
        assert (abs(red - 0xC0) < 12, abs(green - 0x40) < 12, abs(blue - 0x20) < 14) == (True,) * 3


def test_a_size_that_changes_in_mid_stream_keeps_every_picture(
    make: Callable[..., Path], ready: Callable[[Path], Video], tmp_path: Path
) -> None:
    """Two recordings behind each other in one transport stream: their pictures are brought to one size."""
    mpeg2 = ("-c:v", "mpeg2video", "-q:v", "2", "-bf", "0")
    first = make(*flat("red", 25, 1), *mpeg2, "first.ts")
    second = make(
        "-f", "lavfi", "-i", "color=blue:size=96x240:rate=25:duration=1", *mpeg2, "-output_ts_offset", "1", "second.ts"
    )
    film = tmp_path / "film.ts"
    film.write_bytes(first.read_bytes() + second.read_bytes())
    ready(film)
    colors = shown(tmp_path)
    assert abs(len(colors) - 50) <= 1
    reds = sum(red > 180 and blue < 80 for red, _, blue in colors)
    blues = sum(blue > 180 and red < 80 for red, _, blue in colors)
    assert (abs(reds - 25) <= 1, abs(blues - 25) <= 1) == (True, True)


def test_a_track_that_comes_up_in_mid_film_does_not_keep_it_from_being_one(
    make: Callable[..., Path], ready: Callable[[Path], Video], tmp_path: Path
) -> None:
    film = make(*flat("red", seconds=8), "-c:v", "flv", "-f", "flv", "film.flv")
    data = film.read_bytes()
    tags = list(flash_tags(data))
    middle = tags[len(tags) * 3 // 4]
    script = b"\x02\x00\x0aonTextData" + b"\x03\x00\x04text\x02\x00\x02hi\x00\x00\x09"
    time = data[middle + 4 : middle + 8]
    tag = b"\x12" + len(script).to_bytes(3, "big") + time + bytes(3) + script
    film.write_bytes(data[:middle] + tag + len(tag).to_bytes(4, "big") + data[middle:])
    ready(film)
    assert len(shown(tmp_path)) == 96


def flash_tags(data: bytes) -> Iterator[int]:
    """Where the tags of a Flash video begin."""
    at = 13
    while at < len(data):
        yield at
        at += 11 + int.from_bytes(data[at + 1 : at + 4], "big") + 4


def test_a_single_picture_is_a_film(make: Callable[..., Path], ready: Callable[[Path], Video], tmp_path: Path) -> None:
    ready(make(*flat("green"), "-frames:v", "1", "-c:v", "libx264", "film.mp4"))
    assert len(shown(tmp_path)) == 1


def test_a_picture_every_few_seconds_is_a_film_whose_rate_is_told_right(
    make: Callable[..., Path], ready: Callable[[Path], Video], tmp_path: Path
) -> None:
    ready(make("-f", "lavfi", "-i", f"color=green:size={SIZE}:rate=25/151", "-frames:v", "8", "slow.mp4"))
    assert len(shown(tmp_path)) == 8
    assert_conformant(tmp_path / "site")


@pytest.mark.parametrize("turn", [("90",), ("-90",), ("0", "-display_hflip"), ("90", "-display_vflip")], ids=" ".join)
def test_pictures_stand_as_players_of_the_source_would_turn_them(
    turn: tuple[str, ...], make: Callable[..., Path], ready: Callable[[Path], Video], tools: Tools, tmp_path: Path
) -> None:
    """Each corner has a brightness of its own."""
    corners = "geq=lum='if(lt(Y,H/2),if(lt(X,W/2),230,170),if(lt(X,W/2),110,50))':cb=128:cr=128"
    upright = make(*flat("gray"), "-vf", corners, "-c:v", "libx264", "upright.mp4")
    angle, *flips = turn
    turned = make("-display_rotation", angle, *flips, "-i", str(upright), "-c", "copy", "film.mp4")
    # ffmpeg's own turning, of which we use none.
    argv = [
        str(tools.ffmpeg),
        "-v",
        "error",
        "-i",
        str(turned),
        "-frames:v",
        "1",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-",
    ]
    meant = subprocess.run(argv, capture_output=True, check=True).stdout
    width, height = (160, 192) if angle.endswith("90") else (192, 160)
    ready(turned)
    places = [(x, y) for y in (1, 3) for x in (1, 3)]
    expected = [meant[height * y // 4 * width + width * x // 4] for x, y in places]
    for (x, y), level in zip(places, expected, strict=True):
        (found, *_) = shown(tmp_path, (x, y))
        assert abs(found[0] - level) < 12, (x, y)


def test_sound_of_one_to_eight_channels_is_heard_in_every_rendition(
    make: Callable[..., Path], tools: Tools, tmp_path: Path
) -> None:
    layouts = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
    languages = ("deu", "eng", "fra", "ita", "nld", "pol", "spa", "swe")
    inputs, tracks = [], []
    for number, (layout, language) in enumerate(zip(layouts, languages, strict=True)):
        tones = "|".join(["0.2*sin(2000*t)"] * (number + 1))
        inputs += ["-f", "lavfi", "-i", f"aevalsrc={tones}:c={layout}:d=1"]
        tracks += ["-map", str(number), f"-metadata:s:a:{number}", f"language={language}"]
    film = make(*inputs, *tracks, "-c:a", "pcm_s16le", "film.mkv")
    video, asset = through_the_pipeline(film, tmp_path, tools)
    assert (video.state, video.reason) == (VideoState.READY, None)
    stereo = [each.audio for each in asset.renditions if each.audio is not None and each.audio.channels <= 2]
    assert [(each.track_index, each.channels) for each in stereo] == [(0, 1), *((number, 2) for number in range(1, 8))]
    assert any(each.audio is not None and each.audio.channels == 6 for each in asset.renditions)
    for rendition in asset.renditions:
        folder = tmp_path / "site" / rendition.name
        parts = [*folder.glob("init-*.mp4"), *sorted(folder.glob("*.m4s"))]
        heard = samples_heard(b"".join(path.read_bytes() for path in parts))
        assert max(map(abs, heard)) > 0.02, rendition.name


BAR = "geq=lum='if(between(X,20+100*T,60+100*T),220,50)':cb=128:cr=128"  # 100 pixels a second to the right
GRAIN = "geq=lum='if(gt(mod(floor((X+75*T)/4)*37+floor(Y/3)*53,97),48),190,60)':cb=128:cr=128"  # to the left


def moving(picture: str, fields: str = "null", rows: int = 144) -> tuple[str, ...]:
    source = f"color=gray:size=192x{rows}:rate=50:duration=1.2"
    return ("-f", "lavfi", "-i", source, "-vf", f"format=yuv420p,{picture},{fields},format=yuv420p")


def grey(picture: Image.Image) -> list[list[int]]:
    """Rows of an upright picture."""
    flat = list(picture.convert("L").tobytes())
    return [flat[row * picture.width : (row + 1) * picture.width] for row in range(picture.height)]


def combing(rows: list[list[int]]) -> float:
    """How far rows are from those above and below them, on average. Pictures that are alike from top to bottom have none."""
    apart = [
        abs(2 * here - above - below) / 2
        for up, row, down in zip(rows, rows[1:], rows[2:], strict=False)
        for above, here, below in zip(up, row, down, strict=True)
    ]
    return sum(apart) / len(apart)


def bar_at(row: list[int]) -> float:
    """Where the middle of the bright bar is."""
    bright = [x for x, value in enumerate(row) if value > 135]
    return sum(bright) / len(bright)


FIELDS = ("-flags", "+ildct+ilme")


@pytest.mark.parametrize(
    ("first", "said", "flags", "rows"),
    [
        pytest.param("tff", "tff", FIELDS, 144, id="top field first"),
        pytest.param("bff", "bff", FIELDS, 144, id="bottom field first"),
        pytest.param("bff", "tff", FIELDS, 144, id="said to be in the other order"),
        pytest.param("bff", "prog", (), 480, id="said to be whole pictures"),
    ],
)
def test_what_moves_in_fields_has_no_comb_and_goes_one_way(
    first: str,
    said: str,
    flags: tuple[str, ...],
    rows: int,
    make: Callable[..., Path],
    ready: Callable[[Path], Video],
    tmp_path: Path,
) -> None:
    woven = moving(BAR, f"interlace=scan={first}:lowpass=0,setfield={said}", rows)
    film = make(*woven, "-c:v", "mpeg2video", "-q:v", "2", *flags, "fields.ts")
    with av.open(str(film)) as source:
        frames = list(source.decode(video=0))
    assert all(frame.interlaced_frame == bool(flags) for frame in frames)
    before = max(combing(grey(frame.to_image())) for frame in frames)
    ready(film)
    pictures = [grey(picture) for picture in decoded(tmp_path)]
    assert len(pictures) == 30
    # Two fields are two pixels apart, at both edges of the bar.
    assert before > 1
    assert max(combing(picture) for picture in pictures) < before / 10
    for y in (40, 41, 100, 101):
        path = [bar_at(picture[y]) for picture in pictures]
        steps = [later - earlier for earlier, later in itertools.pairwise(path)]
        assert all(3 <= step <= 5 for step in steps), steps


def apart(one: list[list[int]], other: list[list[int]]) -> float:
    """How far two pictures are from each other, on average."""
    pairs = [pair for rows in zip(one, other, strict=True) for pair in zip(*rows, strict=True)]
    return sum(abs(this - that) for this, that in pairs) / len(pairs)


def test_whole_pictures_that_are_said_to_be_fields_keep_their_detail(
    make: Callable[..., Path], ready: Callable[[Path], Video], tmp_path: Path
) -> None:
    film = make(*moving(GRAIN, "fps=25"), "-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ildct+ilme", "grain.ts")
    with av.open(str(film)) as source:
        frames = list(source.decode(video=0))
    assert all(frame.interlaced_frame for frame in frames), "they are said to be fields"
    ready(film)
    # What encoding changes; fields that are made into a picture anew change more than three times as much.
    assert apart(grey(decoded(tmp_path)[15]), grey(frames[15].to_image())) < 13
