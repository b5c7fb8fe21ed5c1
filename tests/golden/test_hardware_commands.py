"""What is run on graphics hardware, word by word: trials, and a chunk for each family."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from storage.media.encoders import Encoder, Family, encoder_of
from tests.builders import a_ladder, a_rung, a_source, a_video_track, an_encode_plan
from workers.ffmpeg.command import encode_command, video_fingerprint
from workers.ffmpeg.hardware import Failure, trial_decode_command, trial_encode_command, why
from workers.ffmpeg.inputs import GLOBAL

GLOBALS = " ".join(GLOBAL)

TRIALS = {
    Family.NVENC: (
        "-f lavfi -i testsrc2=size=320x240:rate=25 -frames:v 5 -an -pix_fmt nv12 -c:v h264_nvenc -f mp4 file:out.mp4",
        "-hwaccel cuda -hwaccel_output_format cuda -i file:in.mp4 -vf hwdownload,format=nv12 -f null -",
    ),
    Family.VAAPI: (
        (
            "-init_hw_device vaapi=card:/dev/dri/renderD128 -filter_hw_device card"
            " -f lavfi -i testsrc2=size=320x240:rate=25 -frames:v 5 -an -vf format=nv12,hwupload -c:v h264_vaapi"
            " -f mp4 file:out.mp4"
        ),
        (
            "-init_hw_device vaapi=card:/dev/dri/renderD128 -filter_hw_device card"
            " -hwaccel vaapi -hwaccel_output_format vaapi -i file:in.mp4 -vf hwdownload,format=nv12 -f null -"
        ),
    ),
    Family.QSV: (
        (
            "-init_hw_device qsv=card:hw -f lavfi -i testsrc2=size=320x240:rate=25 -frames:v 5 -an -pix_fmt nv12"
            " -c:v h264_qsv -f mp4 file:out.mp4"
        ),
        (
            "-init_hw_device qsv=card:hw -hwaccel qsv -hwaccel_output_format qsv -i file:in.mp4"
            " -vf hwdownload,format=nv12 -f null -"
        ),
    ),
}

ENCODERS = {
    Family.NVENC: (
        "",
        "-hwaccel cuda",
        (
            "-f mp4 -b:v 0 -b_ref_mode middle -bf 3 -bufsize 2000000 -c:v h264_nvenc -cq 23 -forced-idr 1"
            " -fps_mode passthrough -g 50 -map_chapters -1 -map_metadata -1 -maxrate 1000000"
            " -movflags +empty_moov+frag_keyframe+default_base_moof+negative_cts_offsets -no-scenecut 1 -preset p5"
            " -profile:v high -rc vbr -rc-lookahead 20 -spatial-aq 1 -strict_gop 1 -tune hq -use_editlist 0"
            " -video_track_timescale 12800 file:out.mp4"
        ),
    ),
    Family.VAAPI: (
        "-init_hw_device vaapi=card:/dev/dri/renderD128 -filter_hw_device card",
        "-hwaccel vaapi",
        (
            "-f mp4 -b:v 750000 -bf 0 -bufsize 2000000 -c:v h264_vaapi -fps_mode passthrough -g 50 -global_quality 23"
            " -idr_interval 0 -map_chapters -1 -map_metadata -1 -maxrate 1000000"
            " -movflags +empty_moov+frag_keyframe+default_base_moof+negative_cts_offsets -profile:v high -rc_mode QVBR"
            " -use_editlist 0 -video_track_timescale 12800 file:out.mp4"
        ),
    ),
    Family.QSV: (
        "-init_hw_device qsv=card:hw",
        "-hwaccel qsv",
        (
            "-f mp4 -adaptive_i 0 -bf 3 -bufsize 2000000 -c:v h264_qsv -forced_idr 1 -fps_mode passthrough -g 50"
            " -global_quality 23 -idr_interval 0 -look_ahead 0 -map_chapters -1 -map_metadata -1 -maxrate 1000000"
            " -movflags +empty_moov+frag_keyframe+default_base_moof+negative_cts_offsets -preset medium -profile:v high"
            " -use_editlist 0 -video_track_timescale 12800 file:out.mp4"
        ),
    ),
}


@pytest.mark.parametrize("family", Family)
def test_a_family_is_tried_by_encoding_and_by_decoding(family: Family) -> None:
    encode, decode = TRIALS[family]
    assert " ".join(trial_encode_command(family, output_path=Path("out.mp4"))) == f"ffmpeg {GLOBALS} {encode}"
    assert " ".join(trial_decode_command(family, input_path=Path("in.mp4"))) == f"ffmpeg {GLOBALS} {decode}"


@pytest.mark.parametrize("family", Family)
def test_a_chunk_is_encoded_by_the_family_of_its_rungs(family: Family) -> None:
    rung = a_rung(encoder=encoder_of(family), max_rate_bps=1_000_000)
    plan = an_encode_plan(ladder=a_ladder("360p", rungs=(rung,), fast_start=("360p",)))
    argv = encode_command(
        a_source(start=Fraction(0)),
        plan,
        plan.chunks[1],
        (rung,),
        input_path=Path("in.mp4"),
        output_paths=[Path("out.mp4")],
        lead=8,
        threads=2,
        decoder=family,
    )
    device, decoder, encoder = ENCODERS[family]
    text = " ".join(argv)
    assert text.startswith(f"ffmpeg {GLOBALS} {device}".rstrip() + " -filter_complex_threads 2 ")
    assert decoder in text.partition(" -i ")[0]
    assert text.endswith(encoder)
    graph = argv[argv.index("-filter_complex") + 1]
    assert ("hwupload" in graph) is (family is Family.VAAPI)
    assert ("format=nv12" in graph) is (family is not Family.NVENC)


def test_a_card_is_not_asked_to_decode_what_cards_differ_in() -> None:
    rung = a_rung(encoder=Encoder.NVENC)
    plan = an_encode_plan(ladder=a_ladder("360p", rungs=(rung,), fast_start=("360p",)))
    for track in (a_video_track(bit_depth=10), a_video_track(codec="vc1"), a_video_track(pixel_format="yuv422p")):
        argv = encode_command(
            a_source(video=track),
            plan,
            plan.chunks[0],
            (rung,),
            input_path=Path("in.mp4"),
            output_paths=[Path("out.mp4")],
            lead=0,
            threads=2,
            decoder=Family.NVENC,
        )
        assert "-hwaccel" not in argv


def test_every_encoder_has_a_fingerprint_of_its_own() -> None:
    plan = an_encode_plan()
    found = {video_fingerprint(replace(a_rung(), encoder=encoder), plan, "n9") for encoder in Encoder}
    assert len(found) == len(Encoder)
    assert {one.partition("/")[0] for one in found} == set(map(str, Encoder))


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        ("[h264_nvenc @ 0x1] OpenEncodeSessionEx failed: out of memory (10): (no details)", Failure.SESSION_LIMIT),
        ("OpenEncodeSessionEx failed: incompatible client key (21)", Failure.SESSION_LIMIT),
        ("cuvidCreateDecoder(...) failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory", Failure.OUT_OF_MEMORY),
        ("Error initializing output stream: Cannot allocate memory", Failure.OUT_OF_MEMORY),
        ("cuMemcpy2D failed -> CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure", Failure.DEVICE_LOST),
        ("Error during encoding: device failed (-17)", Failure.DEVICE_LOST),
        ("[h264_nvenc @ 0x1] Cannot load libcuda.so.1", Failure.NO_DEVICE),
        ("[h264_nvenc @ 0x1] No capable devices found", Failure.NO_DEVICE),
        ("[VAAPI @ 0x1] No VA display found for device /dev/dri/renderD128.", Failure.NO_DEVICE),
        ("Device creation failed: -542398533.", Failure.NO_DEVICE),
        ("No usable encoding entrypoint found for profile VAAPIProfileH264High (7).", Failure.NOT_SUPPORTED),
        ("[h264_nvenc @ 0x1] B frames as references are not supported", Failure.NOT_SUPPORTED),
        ("Something else", Failure.UNKNOWN),
    ],
)
def test_what_a_driver_says_has_a_meaning(said: str, failure: Failure) -> None:
    assert why(f"some warning before\n{said}\nConversion failed!\n") is failure


def test_dolby_vision_of_profile_5_goes_through_libplacebo_and_is_tagged_as_what_comes_out() -> None:
    plan = an_encode_plan(ladder=a_ladder("360p"))
    argv = encode_command(
        a_source(video=a_video_track(codec="hevc", bit_depth=10, own_colours=True)),
        plan,
        plan.chunks[0],
        plan.ladder.rungs,
        input_path=Path("in.mp4"),
        output_paths=[Path("out.mp4")],
        lead=0,
        threads=2,
    )
    graph = argv[argv.index("-filter_complex") + 1]
    assert (
        "libplacebo=apply_dolbyvision=1:color_primaries=bt709:color_trc=bt709:colorspace=bt709:format=yuv420p:h=360"
        ":range=tv:tonemapping=bt.2390:w=640"
    ) in graph
    assert "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709" in graph
