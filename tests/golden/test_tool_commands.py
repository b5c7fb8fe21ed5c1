"""The commands that tools are run with, in full: a change of a flag shows in the diff."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from storage.media.ladder import AudioPiece
from storage.media.source import FieldOrder, Source
from storage.media.time import FrameRange
from tests.builders import (
    a_film_plan,
    a_ladder,
    a_rung,
    a_source,
    a_video_track,
    an_audio_rendition,
    an_audio_track,
)
from workers.ffmpeg.command import encode_command
from workers.ffmpeg.pictures import poster_command, storyboard_command
from workers.ffmpeg.sandbox import sandboxed
from workers.ffmpeg.sound import audio_command
from workers.ffmpeg.tools import Limits, Tools
from workers.planning.thumbnails import plan_storyboard

SOURCE = Path("/sources/film")
HERE = Path("/scratch/job")
FILTERS = frozenset({"zscale", "tonemap"})


def by_flag(argv: list[str]) -> list[str]:
    """One flag with its value a line, as a person reads it; the long list of decoders is left out."""
    lines: list[str] = []
    for argument in argv:
        if argument.startswith("-") and not argument[1:2].isdigit():
            lines.append(argument)
        elif lines and lines[-1].startswith("-") and " " not in lines[-1]:
            lines[-1] += f" {argument}"
        else:
            lines.append(argument)
    left_out = ("-codec_whitelist ", "-filter_complex ")
    return [line for line in lines if not line.startswith(left_out)]


def graph_of(argv: list[str]) -> list[str]:
    """The filters, one a line."""
    return re.split(r"(?<!\\);", argv[argv.index("-filter_complex") + 1])


NTSC_LADDER = a_ladder(
    frame_rate=Fraction(30_000, 1001),
    gop_frames=60,
    rungs=(a_rung("360p"), a_rung("720p", width=1280, height=720, crf=22, max_rate_bps=2_800_000)),
    fast_start=("360p",),
)
PLAN = a_film_plan(5, ladder=NTSC_LADDER)
TOOLS = Tools(
    ffmpeg=Path("/opt/ffmpeg"),
    ffmpeg_version="n9",
    bwrap=Path("/opt/bwrap"),
    setpriv=Path("/usr/bin/setpriv"),
    runtime=(Path("/opt/venv"),),
)


def encode_first(source: Source) -> list[str]:
    """The lowest rung of the first chunk of ``source``."""
    return encode_command(
        source,
        PLAN,
        PLAN.chunks[0],
        PLAN.ladder.rungs[:1],
        input_path=SOURCE,
        output_paths=[HERE / "360p.mp4"],
        lead=0,
        threads=2,
        filters=FILTERS,
    )


def test_a_chunk_is_decoded_once_for_all_its_rungs() -> None:
    argv = encode_command(
        a_source(start=Fraction(7, 5)),
        PLAN,
        PLAN.chunks[1],
        PLAN.ladder.rungs,
        input_path=SOURCE,
        output_paths=[HERE / "360p.mp4", HERE / "720p.mp4"],
        lead=30,
        threads=2,
        frame_report=HERE / "frames.txt",
        filters=FILTERS,
    )

    assert by_flag(argv) == [
        "ffmpeg",
        "-nostdin",
        "-hide_banner",
        "-nostats",
        "-loglevel warning",
        "-y",
        "-max_error_rate 1.0",
        "-filter_complex_threads 2",
        "-f mov",
        "-copyts",
        "-format_whitelist mov",
        "-max_alloc 1073741824",
        "-max_pixels 67108864",
        "-max_streams 128",
        "-noaccurate_seek",
        "-protocol_whitelist file",
        "-reinit_filter 0",
        "-seek_timestamp 1",
        "-ss 4.403000",
        "-threads 2",
        "-i file:/sources/film",
        "-map [s14]",
        "-f mp4",
        "-bf 3",
        "-bufsize 1600000",
        "-c:v libx264",
        "-crf 23",
        "-fps_mode passthrough",
        "-map_chapters -1",
        "-map_metadata -1",
        "-maxrate 800000",
        "-movflags +empty_moov+frag_keyframe+default_base_moof+negative_cts_offsets",
        "-preset veryfast",
        "-profile:v high",
        "-stats_enc_pre /scratch/job/frames.txt",
        "-stats_enc_pre_fmt {ptsi} {tbi} {ni}",
        "-threads 1",
        "-use_editlist 0",
        "-video_track_timescale 30000",
        "-x264-params keyint=60:min-keyint=60:scenecut=0:open-gop=0:stitchable=1",
        "file:/scratch/job/360p.mp4",
        "-map [s10]",
        "-f mp4",
        "-bf 3",
        "-bufsize 5600000",
        "-c:v libx264",
        "-crf 22",
        "-fps_mode passthrough",
        "-map_chapters -1",
        "-map_metadata -1",
        "-maxrate 2800000",
        "-movflags +empty_moov+frag_keyframe+default_base_moof+negative_cts_offsets",
        "-preset veryfast",
        "-profile:v high",
        "-threads 1",
        "-use_editlist 0",
        "-video_track_timescale 30000",
        "-x264-params keyint=60:min-keyint=60:scenecut=0:open-gop=0:stitchable=1",
        "file:/scratch/job/720p.mp4",
    ]

    assert graph_of(argv) == [
        "[0:0]settb=1/1992960000[s0]",
        "[s0]setpts=PTS-(8775002880)[s1]",
        "[s1]fps=30000/1001:eof_action=pass:round=near:start_time=0[s2]",
        "[s2]tpad=stop=270:stop_mode=clone[s3]",
        "[s3]trim=end_pts=270:start_pts=30[s4]",
        "[s4]setpts=PTS-30[s5]",
        "[s5]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709[s6]",
        "[s6]scale=1280:720:flags=bicubic:out_range=tv[s7]",
        "[s7]format=yuv420p[s8]",
        "[s8]setsar=1[s9]",
        "[s9]split=2[s10][s11]",
        "[s11]scale=640:360:flags=bicubic:out_range=tv[s12]",
        "[s12]format=yuv420p[s13]",
        "[s13]setsar=1[s14]",
    ]


def test_hdr_and_interlaced_pictures_are_normalised_before_the_split() -> None:
    track = a_video_track(
        width=3840,
        height=2160,
        field_order=FieldOrder.INTERLACED,
        color_transfer="smpte2084",
        color_primaries="bt2020",
        color_space="bt2020nc",
        pixel_format="yuv420p10le",
    )
    argv = encode_first(a_source(video=track))

    assert graph_of(argv) == [
        "[0:0]bwdif=deint=all:mode=send_frame:parity=auto[s0]",
        "[s0]settb=1/1992960000[s1]",
        "[s1]setpts=PTS-(0)[s2]",
        "[s2]fps=30000/1001:eof_action=pass:round=near:start_time=0[s3]",
        "[s3]tpad=stop=120:stop_mode=clone[s4]",
        "[s4]trim=end_pts=120:start_pts=0[s5]",
        "[s5]setpts=PTS-0[s6]",
        "[s6]scale=640:360[s7]",
        "[s7]zscale=matrixin=2020_ncl:npl=100:primariesin=2020:transfer=linear:transferin=smpte2084[s8]",
        "[s8]format=gbrpf32le[s9]",
        "[s9]zscale=primaries=709[s10]",
        "[s10]tonemap=hable:desat=0[s11]",
        "[s11]zscale=matrix=709:range=tv:transfer=709[s12]",
        "[s12]format=yuv420p[s13]",
        "[s13]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709[s14]",
        "[s14]scale=640:360:flags=bicubic:out_range=tv[s15]",
        "[s15]format=yuv420p[s16]",
        "[s16]setsar=1[s17]",
    ]


def test_of_pictures_without_times_ffmpeg_is_told_how_long_they_last() -> None:
    untimed = a_video_track(untimed=True, frame_rate=Fraction(30_000, 1001))
    lasting = "-bsf:v setts=pts=PTS:dts=NOPTS:duration=1/(30000/1001*TB)"
    commands = {track: by_flag(encode_first(a_source(video=track))) for track in (untimed, a_video_track())}
    (told, usual) = commands.values()
    assert [line for line in told if line not in usual] == [lasting]
    assert told.index(lasting) < told.index("-i file:/sources/film")
    assert lasting not in by_flag(encode_first(a_source(video=replace(untimed, steady=False))))


def test_rgb_becomes_bt709() -> None:
    argv = encode_first(a_source(video=a_video_track(pixel_format="gbrp")))

    assert graph_of(argv) == [
        "[0:0]settb=1/1992960000[s0]",
        "[s0]setpts=PTS-(0)[s1]",
        "[s1]fps=30000/1001:eof_action=pass:round=near:start_time=0[s2]",
        "[s2]tpad=stop=120:stop_mode=clone[s3]",
        "[s3]trim=end_pts=120:start_pts=0[s4]",
        "[s4]setpts=PTS-0[s5]",
        "[s5]scale=out_color_matrix=bt709:out_range=tv[s6]",
        "[s6]format=yuv444p[s7]",
        "[s7]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709[s8]",
        "[s8]scale=640:360:flags=bicubic:out_range=tv[s9]",
        "[s9]format=yuv420p[s10]",
        "[s10]setsar=1[s11]",
    ]


def test_a_piece_of_sound() -> None:
    start = Fraction(-23, 1000)
    argv = audio_command(
        a_source(
            demuxer="matroska",
            start=start,
            duration=Fraction(400),
            video=a_video_track(duration=Fraction(400)),
            audio=(an_audio_track(sample_rate_hz=44_100, start=start),),
        ),
        an_audio_rendition(),
        AudioPiece(index=1, frames=FrameRange(1408, 15_469), first_segment=8, stop_segment=88),
        input_path=SOURCE,
        output_path=HERE / "audio.mp4",
    )

    assert by_flag(argv) == [
        "ffmpeg",
        "-nostdin",
        "-hide_banner",
        "-nostats",
        "-loglevel warning",
        "-y",
        "-max_error_rate 1.0",
        "-filter_complex_threads 1",
        "-f matroska",
        "-copyts",
        "-format_whitelist matroska",
        "-max_alloc 1073741824",
        "-max_pixels 67108864",
        "-max_streams 128",
        "-noaccurate_seek",
        "-protocol_whitelist file",
        "-seek_timestamp 1",
        "-ss 28.457000",
        "-threads 1",
        "-i file:/sources/film",
        "-map [s7]",
        "-f mp4",
        "-b:a 128000",
        "-c:a aac",
        "-frag_duration 5000000",
        "-map_chapters -1",
        "-map_metadata -1",
        "-movflags +empty_moov+default_base_moof",
        "-use_editlist 0",
        "file:/scratch/job/audio.mp4",
    ]

    assert graph_of(argv) == [
        "[0:1]asetpts=st(0\\,PTS-(-0.023)/TB+NB_SAMPLES)\\;st(1\\,round(ld(0)/1024)*1024)\\;if(lt(abs(ld(0)-ld(1))\\,min(0.002/TB\\,1024/4))\\,ld(1)\\,round(ld(0)))-NB_SAMPLES+round((0)/TB)[s0]",
        "[s0]atrim=start=29.48[s1]",
        "[s1]aresample=48000:rematrix_maxval=1[s2]",
        "[s2]aformat=channel_layouts=stereo:sample_fmts=fltp[s3]",
        "[s3]aresample=48000:async=1:first_pts=1417216:min_comp=1e-05:min_hard_comp=0.05[s4]",
        "[s4]apad=whole_len=14427136[s5]",
        "[s5]atrim=end_sample=14427136[s6]",
        "[s6]asetpts=N[s7]",
    ]


def test_a_poster() -> None:
    argv = poster_command(a_source(), input_path=SOURCE, output_path=HERE / "poster.jpg", threads=2)

    assert by_flag(argv) == [
        "ffmpeg",
        "-nostdin",
        "-hide_banner",
        "-nostats",
        "-loglevel warning",
        "-y",
        "-max_error_rate 1.0",
        "-filter_complex_threads 2",
        "-f mov",
        "-copyts",
        "-format_whitelist mov",
        "-max_alloc 1073741824",
        "-max_pixels 67108864",
        "-max_streams 128",
        "-protocol_whitelist file",
        "-reinit_filter 0",
        "-threads 2",
        "-i file:/sources/film",
        "-map [s7]",
        "-f image2",
        "-c:v mjpeg",
        "-fps_mode passthrough",
        "-frames:v 1",
        "-map_metadata -1",
        "-q:v 3",
        "-update 1",
        "file:/scratch/job/poster.jpg",
    ]

    assert graph_of(argv) == [
        "[0:0]setpts=PTS-STARTPTS[s0]",
        "[s0]trim=end=8[s1]",
        "[s1]fps=2:eof_action=pass[s2]",
        "[s2]thumbnail=n=16[s3]",
        "[s3]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709[s4]",
        "[s4]scale=1280:720:flags=bicubic:out_color_matrix=bt601:out_range=pc[s5]",
        "[s5]format=yuv420p[s6]",
        "[s6]setsar=1[s7]",
    ]


def test_a_storyboard_of_a_long_film_decodes_keyframes_only() -> None:
    storyboard = plan_storyboard(a_video_track(), Fraction(700))
    argv = storyboard_command(a_source(), storyboard, input_path=SOURCE, output_pattern=Path("tile-%d.jpg"), threads=2)

    assert by_flag(argv) == [
        "ffmpeg",
        "-nostdin",
        "-hide_banner",
        "-nostats",
        "-loglevel warning",
        "-y",
        "-max_error_rate 1.0",
        "-filter_complex_threads 2",
        "-f mov",
        "-copyts",
        "-discard nokey",
        "-format_whitelist mov",
        "-max_alloc 1073741824",
        "-max_pixels 67108864",
        "-max_streams 128",
        "-protocol_whitelist file",
        "-reinit_filter 0",
        "-skip_frame nokey",
        "-threads 2",
        "-i file:/sources/film",
        "-map [s10]",
        "-f image2",
        "-c:v mjpeg",
        "-fps_mode passthrough",
        "-map_metadata -1",
        "-q:v 5",
        "-start_number 0",
        "file:tile-%d.jpg",
    ]

    assert graph_of(argv) == [
        "[0:0]settb=1/1992960000[s0]",
        "[s0]setpts=PTS-(0)[s1]",
        "[s1]fps=1/5:eof_action=pass:round=near:start_time=0[s2]",
        "[s2]tpad=stop=140:stop_mode=clone[s3]",
        "[s3]trim=end_pts=140:start_pts=0[s4]",
        "[s4]setpts=PTS-0[s5]",
        "[s5]setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709[s6]",
        "[s6]scale=160:90:flags=bicubic:out_color_matrix=bt601:out_range=pc[s7]",
        "[s7]format=yuv420p[s8]",
        "[s8]setsar=1[s9]",
        "[s9]tile=10x10[s10]",
    ]


def test_the_cage() -> None:
    argv = sandboxed(["/opt/ffmpeg", "-i", "/sources/film"], TOOLS, HERE, (SOURCE,), Limits())

    assert argv == [
        "/opt/bwrap",
        "--unshare-all",
        "--die-with-parent",
        "--as-pid-1",
        "--uid",
        "65534",
        "--gid",
        "65534",
        "--cap-drop",
        "ALL",
        "--dev",
        "/dev",
        "--size",
        "67108864",
        "--tmpfs",
        "/tmp",
        "--chdir",
        "/scratch/job",
        "--ro-bind-try",
        "/usr",
        "/usr",
        "--ro-bind-try",
        "/lib",
        "/lib",
        "--ro-bind-try",
        "/lib64",
        "/lib64",
        "--ro-bind-try",
        "/bin",
        "/bin",
        "--ro-bind-try",
        "/etc/ld.so.cache",
        "/etc/ld.so.cache",
        "--ro-bind",
        "/opt/ffmpeg",
        "/opt/ffmpeg",
        "--ro-bind",
        "/opt/venv",
        "/opt/venv",
        "--bind",
        "/scratch/job",
        "/scratch/job",
        "--ro-bind",
        "/sources/film",
        "/sources/film",
        "--remount-ro",
        "/",
        "--remount-ro",
        "/dev",
        "--",
        "/bin/sh",
        "-c",
        'ulimit -c 0; ulimit -n 256; ulimit -f 16777216; ulimit -S -t 7200; ulimit -H -t 7205; ulimit -v 6291456 2>/dev/null; "$@"; exit $?',
        "sh",
        "/opt/ffmpeg",
        "-i",
        "/sources/film",
    ]


def test_without_a_cage_limits_remain() -> None:
    bare = replace(TOOLS, bwrap=None)
    argv = sandboxed(["/opt/ffmpeg", "-i", "/sources/film"], bare, HERE, (SOURCE,), Limits())

    assert argv == [
        "/usr/bin/setpriv",
        "--pdeathsig",
        "KILL",
        "--",
        "/bin/sh",
        "-c",
        'ulimit -c 0; ulimit -n 256; ulimit -f 16777216; ulimit -S -t 7200; ulimit -H -t 7205; ulimit -v 6291456 2>/dev/null; exec "$@"',
        "sh",
        "/opt/ffmpeg",
        "-i",
        "/sources/film",
    ]
