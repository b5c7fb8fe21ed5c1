"""The codecs that we decode. Everything else is refused before a decoder sees a byte of it.

ffmpeg has hundreds of decoders, most of them for formats that nobody uploads, and its memory bugs live there. Names are
decoder names, as ``-codec_whitelist`` wants them: several may decode one codec, depending on the build.
"""

from __future__ import annotations

VIDEO_DECODERS: tuple[str, ...] = (
    "h264", "hevc", "vvc", "av1", "libdav1d", "vp8", "vp9", "libvpx", "libvpx-vp9", "vp6", "vp6a", "vp6f",
    "mpeg1video", "mpeg2video", "mpegvideo", "mpeg4", "h261", "h263", "h263i", "h263p", "flv", "theora",
    "msmpeg4v1", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2", "wmv3", "vc1", "svq1", "svq3", "cinepak",
    "mjpeg", "jpeg2000", "prores", "dnxhd", "cfhd", "dvvideo", "ffv1", "huffyuv", "ffvhuff", "utvideo",
    "rawvideo", "v210", "v410", "r210", "qtrle", "rpza", "gif", "png",
)  # fmt: skip
AUDIO_DECODERS: tuple[str, ...] = (
    "aac", "aac_fixed", "aac_latm", "libfdk_aac", "ac3", "ac3_fixed", "eac3", "dca", "truehd", "mlp",
    "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "opus", "libopus", "vorbis", "libvorbis",
    "flac", "alac", "wmav1", "wmav2", "wmapro", "wmalossless", "amrnb", "amrwb", "libopencore_amrnb",
    "libopencore_amrwb", "speex", "libspeex", "nellymoser", "gsm", "gsm_ms",
    "adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "adpcm_yamaha", "pcm_alaw", "pcm_mulaw", "pcm_bluray",
    "pcm_dvd", "pcm_f32be", "pcm_f32le", "pcm_f64be", "pcm_f64le", "pcm_s8", "pcm_u8", "pcm_s16be", "pcm_s16le",
    "pcm_s24be", "pcm_s24le", "pcm_s32be", "pcm_s32le", "pcm_s16be_planar", "pcm_s16le_planar",
)  # fmt: skip
DECODERS: tuple[str, ...] = VIDEO_DECODERS + AUDIO_DECODERS

TEXT_DECODERS: tuple[str, ...] = (
    "ass", "ssa", "subrip", "srt", "mov_text", "webvtt", "text", "microdvd", "mpl2", "jacosub", "sami", "realtext", "stl",
    "pjs", "vplayer", "subviewer", "subviewer1", "cc_dec", "libaribcaption", "libaribb24",
)  # fmt: skip
"""They run in one command alone: the one that reads subtitles."""

TEXT_CODECS: frozenset[str] = frozenset({
    "ass", "ssa", "subrip", "mov_text", "webvtt", "text", "microdvd", "mpl2", "jacosub", "sami", "realtext", "stl",
    "pjs", "vplayer", "subviewer", "subviewer1", "eia_608", "arib_caption",
})  # fmt: skip
"""Subtitles that are text, by the names of their codecs. All others are pictures of text."""
