"""Manifests and boxes in full: a change of one byte is visible here.

They were read against RFC 8216bis, ISO/IEC 23009-1 and ISO/IEC 23000-19 once; from then on they hold them in place.
"""

from __future__ import annotations

import pytest

from packager.cmaf import cut_audio, cut_video
from packager.compose import compose
from storage.media.time import FrameRange
from tests.fragmented import fake_audio, fake_video
from tests.presentations import (
    PUBLISHED_AT,
    a_presentation,
    a_sound_rendition,
    a_video_rendition,
    audio_segments,
    video_segments,
)

COMPLETE = {
    "360p/media.m3u8": """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI="init-0123456789ab.mp4"
#EXTINF:4.000000,
0-000000000000.m4s
#EXTINF:4.000000,
1-000000000001.m4s
#EXTINF:2.400000,
2-000000000002.m4s
#EXT-X-ENDLIST
""",
    "audio-en/media.m3u8": """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI="init-ba9876543210.mp4"
#EXTINF:4.010667,
0-a00000000000.m4s
#EXTINF:3.989333,
1-a00000000001.m4s
#EXTINF:2.410667,
2-a00000000002.m4s
#EXT-X-ENDLIST
""",
    "360p/iframes.m3u8": """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-I-FRAMES-ONLY
#EXT-X-MAP:URI="init-0123456789ab.mp4"
#EXTINF:2.000000,
#EXT-X-BYTERANGE:2000@24
0-000000000000.m4s
#EXTINF:2.000000,
#EXT-X-BYTERANGE:2001@125024
0-000000000000.m4s
#EXTINF:2.000000,
#EXT-X-BYTERANGE:2000@24
1-000000000001.m4s
#EXTINF:2.000000,
#EXT-X-BYTERANGE:2001@125024
1-000000000001.m4s
#EXTINF:2.000000,
#EXT-X-BYTERANGE:2000@24
2-000000000002.m4s
#EXTINF:0.400000,
#EXT-X-BYTERANGE:2001@75025
2-000000000002.m4s
#EXT-X-ENDLIST
""",
    "storyboard.vtt": """\
WEBVTT

00:00:00.000 --> 00:00:04.000
storyboard/0-aabbccddeeff.jpg#xywh=0,0,160,90

00:00:04.000 --> 00:00:08.000
storyboard/0-aabbccddeeff.jpg#xywh=160,0,160,90

00:00:08.000 --> 00:00:10.400
storyboard/1-aabbccddeeff.jpg#xywh=0,0,160,90
""",
    "master.m3u8": """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="audio-en/media-c67674049a5e.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=627882,AVERAGE-BANDWIDTH=627878,CODECS="avc1.64001e,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=25.000,VIDEO-RANGE=SDR,SCORE=1.0,AUDIO="audio",CLOSED-CAPTIONS=NONE
360p/media-7357ad0d07e2.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=4127882,AVERAGE-BANDWIDTH=4127878,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1920x1080,FRAME-RATE=25.000,VIDEO-RANGE=SDR,SCORE=2.0,AUDIO="audio",CLOSED-CAPTIONS=NONE
1080p/media-7357ad0d07e2.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=13337,AVERAGE-BANDWIDTH=9234,CODECS="avc1.64001e",RESOLUTION=640x360,VIDEO-RANGE=SDR,URI="360p/iframes-0ea153f53f50.m3u8"
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=13337,AVERAGE-BANDWIDTH=9234,CODECS="avc1.640028",RESOLUTION=1920x1080,VIDEO-RANGE=SDR,URI="1080p/iframes-0a49707a235c.m3u8"
#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=9000,RESOLUTION=160x90,CODECS="jpeg",URI="storyboard-cc57d6710494.m3u8"
""",
    "manifest.mpd": """\
<?xml version='1.0' encoding='utf-8'?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-main:2011" type="static" minBufferTime="PT2S" maxSegmentDuration="PT4.011S" mediaPresentationDuration="PT10.4S">
  <Period id="0" start="PT0S">
    <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1" par="16:9" maxWidth="1920" maxHeight="1080" maxFrameRate="25">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main" />
      <Representation id="360p" codecs="avc1.64001e" bandwidth="500007" width="640" height="360" frameRate="25" sar="1:1">
        <BaseURL>360p/</BaseURL>
        <SegmentList timescale="12800">
          <Initialization sourceURL="init-0123456789ab.mp4" />
          <SegmentTimeline>
            <S t="0" d="51200" />
            <S d="51200" />
            <S d="30720" />
          </SegmentTimeline>
          <SegmentURL media="0-000000000000.m4s" />
          <SegmentURL media="1-000000000001.m4s" />
          <SegmentURL media="2-000000000002.m4s" />
        </SegmentList>
      </Representation>
      <Representation id="1080p" codecs="avc1.640028" bandwidth="4000007" width="1920" height="1080" frameRate="25" sar="1:1">
        <BaseURL>1080p/</BaseURL>
        <SegmentList timescale="12800">
          <Initialization sourceURL="init-0123456789ab.mp4" />
          <SegmentTimeline>
            <S t="0" d="51200" />
            <S d="51200" />
            <S d="30720" />
          </SegmentTimeline>
          <SegmentURL media="0-000000000000.m4s" />
          <SegmentURL media="1-000000000001.m4s" />
          <SegmentURL media="2-000000000002.m4s" />
        </SegmentList>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="40" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
      <EssentialProperty schemeIdUri="http://dashif.org/guidelines/trickmode" value="0" />
      <Representation id="360p-trick" codecs="avc1.64001e" bandwidth="13337" width="640" height="360" frameRate="1/2" sar="1:1" maxPlayoutRate="32" codingDependency="false">
        <BaseURL>360p/</BaseURL>
        <SegmentList timescale="12800">
          <Initialization sourceURL="init-0123456789ab.mp4" />
          <SegmentTimeline>
            <S t="0" d="25600" />
            <S d="25600" />
            <S d="25600" />
            <S d="25600" />
            <S d="25600" />
            <S d="5120" />
          </SegmentTimeline>
          <SegmentURL media="0-000000000000.m4s" mediaRange="24-2023" />
          <SegmentURL media="0-000000000000.m4s" mediaRange="125024-127024" />
          <SegmentURL media="1-000000000001.m4s" mediaRange="24-2023" />
          <SegmentURL media="1-000000000001.m4s" mediaRange="125024-127024" />
          <SegmentURL media="2-000000000002.m4s" mediaRange="24-2023" />
          <SegmentURL media="2-000000000002.m4s" mediaRange="75025-77025" />
        </SegmentList>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" lang="en" segmentAlignment="true" startWithSAP="1">
      <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2" />
      <Label>English</Label>
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main" />
      <Representation id="audio-en" codecs="mp4a.40.2" bandwidth="127875" audioSamplingRate="48000">
        <BaseURL>audio-en/</BaseURL>
        <SegmentList timescale="48000">
          <Initialization sourceURL="init-ba9876543210.mp4" />
          <SegmentTimeline>
            <S t="0" d="192512" />
            <S d="191488" />
            <S d="115712" />
          </SegmentTimeline>
          <SegmentURL media="0-a00000000000.m4s" />
          <SegmentURL media="1-a00000000001.m4s" />
          <SegmentURL media="2-a00000000002.m4s" />
        </SegmentList>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="100" contentType="image" mimeType="image/jpeg">
      <Representation id="storyboard" bandwidth="9000" width="320" height="90">
        <EssentialProperty schemeIdUri="http://dashif.org/guidelines/thumbnail_tile" value="2x1" />
        <SegmentTemplate timescale="1" duration="8" startNumber="0" media="storyboard/$Number$-aabbccddeeff.jpg" />
      </Representation>
    </AdaptationSet>
  </Period>
</MPD>
""",
}

GROWING = {
    "360p/media.m3u8": """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-START:TIME-OFFSET=0.0,PRECISE=YES
#EXT-X-MAP:URI="init-0123456789ab.mp4"
#EXTINF:4.000000,
0-000000000000.m4s
#EXTINF:4.000000,
1-000000000001.m4s
""",
    "360p/iframes.m3u8": """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-START:TIME-OFFSET=0.0,PRECISE=YES
#EXT-X-I-FRAMES-ONLY
#EXT-X-MAP:URI="init-0123456789ab.mp4"
#EXTINF:2.000000,
#EXT-X-BYTERANGE:2000@24
0-000000000000.m4s
#EXTINF:2.000000,
#EXT-X-BYTERANGE:2001@125024
0-000000000000.m4s
#EXTINF:2.000000,
#EXT-X-BYTERANGE:2000@24
1-000000000001.m4s
#EXTINF:2.000000,
#EXT-X-BYTERANGE:2001@125024
1-000000000001.m4s
""",
    "master.m3u8": """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="audio-en/media.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=627877,AVERAGE-BANDWIDTH=627876,CODECS="avc1.64001e,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=25.000,VIDEO-RANGE=SDR,SCORE=1.0,AUDIO="audio",CLOSED-CAPTIONS=NONE
360p/media.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=8004,AVERAGE-BANDWIDTH=8002,CODECS="avc1.64001e",RESOLUTION=640x360,VIDEO-RANGE=SDR,URI="360p/iframes.m3u8"
""",
    "manifest.mpd": """\
<?xml version='1.0' encoding='utf-8'?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-main:2011" type="dynamic" minBufferTime="PT2S" maxSegmentDuration="PT4.011S" availabilityStartTime="2026-01-01T03:03:54.000Z" publishTime="2026-01-02T03:05:06.000Z" minimumUpdatePeriod="PT2S" suggestedPresentationDelay="PT9S">
  <ServiceDescription id="0">
    <Latency target="172872000" />
    <PlaybackRate min="1" max="1" />
  </ServiceDescription>
  <Period id="0" start="PT0S">
    <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1" par="16:9" maxWidth="640" maxHeight="360" maxFrameRate="25">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main" />
      <Representation id="360p" codecs="avc1.64001e" bandwidth="500002" width="640" height="360" frameRate="25" sar="1:1">
        <BaseURL>360p/</BaseURL>
        <SegmentList timescale="12800">
          <Initialization sourceURL="init-0123456789ab.mp4" />
          <SegmentTimeline>
            <S t="0" d="51200" />
            <S d="51200" />
          </SegmentTimeline>
          <SegmentURL media="0-000000000000.m4s" />
          <SegmentURL media="1-000000000001.m4s" />
        </SegmentList>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" lang="en" segmentAlignment="true" startWithSAP="1">
      <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2" />
      <Label>English</Label>
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main" />
      <Representation id="audio-en" codecs="mp4a.40.2" bandwidth="127875" audioSamplingRate="48000">
        <BaseURL>audio-en/</BaseURL>
        <SegmentList timescale="48000">
          <Initialization sourceURL="init-ba9876543210.mp4" />
          <SegmentTimeline>
            <S t="0" d="192512" />
            <S d="191488" />
          </SegmentTimeline>
          <SegmentURL media="0-a00000000000.m4s" />
          <SegmentURL media="1-a00000000001.m4s" />
        </SegmentList>
      </Representation>
    </AdaptationSet>
  </Period>
  <UTCTiming schemeIdUri="urn:mpeg:dash:utc:direct:2014" value="2026-01-02T03:05:06.000Z" />
</MPD>
""",
}

VIDEO_INIT = """
0000001c 66747970 69736f36 00000000 69736f36 636d6663 636d6632 0000027c 6d6f6f76 0000006c 6d766864 00000000 00000000
00000000 00003200 00000000 00010000 01000000 00000000 00000000 00010000 00000000 00000000 00000000 00010000 00000000
00000000 00000000 40000000 00000000 00000000 00000000 00000000 00000000 00000000 00000002 000001e0 7472616b 0000005c
746b6864 00000003 00000000 00000000 00000001 00000000 00000000 00000000 00000000 00000000 00000000 00010000 00000000
00000000 00000000 00010000 00000000 00000000 00000000 40000000 02800000 01680000 0000017c 6d646961 00000020 6d646864
00000000 00000000 00000000 00003200 00000000 55c40000 00000026 68646c72 00000000 00000000 76696465 00000000 00000000
00000000 56696465 6f000000 012e6d69 6e660000 0014766d 68640000 00010000 00000000 00000000 00246469 6e660000 001c6472
65660000 00000000 00010000 000c7572 6c200000 00010000 00ee7374 626c0000 00a27374 73640000 00000000 00010000 00926176
63310000 00000000 00010000 00000000 00000000 00000000 00000280 01680000 00000000 00000000 00000000 00000000 00000000
00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000019 61766343 0164001e ffe10004 67640c1e 01000268
ee000000 13636f6c 726e636c 78000100 01000100 00000010 70617370 00000001 00000001 00000010 73747473 00000000 00000000
00000010 73747363 00000000 00000000 00000014 7374737a 00000000 00000000 00000000 00000010 7374636f 00000000 00000000
00000028 6d766578 00000020 74726578 00000000 00000001 00000001 00000000 00000000 00000000
"""

VIDEO_SEGMENT = """
000000 18737479 706d7364 68000000 006d7364 68636d66 73000000 646d6f6f 66000000 106d6668 64000000 00000000 05000000
4c747261 66000000 1c746668 64000200 38000000 01000002 00000000 0a020000 00000000 14746664 74010000 00000000 00000010
00000000 14747275 6e010000 01000000 01000000 6c000000 126d6461 74000000 06650000 00080000 0000786d 6f6f6600 0000106d
66686400 00000000 00000600 00006074 72616600 00001874 66686400 02002800 00000100 00020001 01000000 00001474 66647401
00000000 00000000 00120000 00002c74 72756e01 000a0100 00000300 00008000 00000c00 00020000 00000bff fffe0000 00000d00
00000000 00002c6d 64617400 00000841 0000000a 00000000 00000741 00000009 00000000 00094100 00000b00 00000000 0000646d
6f6f6600 0000106d 66686400 00000000 00000700 00004c74 72616600 00001c74 66686400 02003800 00000100 00020000 00000e02
00000000 00001474 66647401 00000000 00000000 00180000 00001474 72756e01 00000100 00000100 00006c00 0000166d 64617400
00000a65 0000000c 00000000 00000000 646d6f6f 66000000 106d6668 64000000 00000000 08000000 4c747261 66000000 1c746668
64000200 38000000 01000002 00000000 0f010100 00000000 14746664 74010000 00000000 0000001a 00000000 14747275 6e010000
01000000 01000000 6c000000 176d6461 74000000 0b410000 000d0000 00000000
"""

AUDIO_INIT = """
0000001c 66747970 69736f36 00000000 69736f36 636d6663 636d6632 00000234 6d6f6f76 0000006c 6d766864 00000000 00000000
00000000 0000bb80 00000000 00010000 01000000 00000000 00000000 00010000 00000000 00000000 00000000 00010000 00000000
00000000 00000000 40000000 00000000 00000000 00000000 00000000 00000000 00000000 00000002 00000198 7472616b 0000005c
746b6864 00000003 00000000 00000000 00000001 00000000 00000000 00000000 00000000 00000000 01000000 00010000 00000000
00000000 00000000 00010000 00000000 00000000 00000000 40000000 02800000 01680000 00000134 6d646961 00000020 6d646864
00000000 00000000 00000000 0000bb80 00000000 55c40000 00000026 68646c72 00000000 00000000 736f756e 00000000 00000000
00000000 536f756e 64000000 00e66d69 6e660000 0010736d 68640000 00000000 00000000 00246469 6e660000 001c6472 65660000
00000000 00010000 000c7572 6c200000 00010000 00aa7374 626c0000 005e7374 73640000 00000000 00010000 004e6d70 34610000
00000000 00010000 00000000 00000002 00100000 0000bb80 00000000 002a6573 64730000 0000031c 00000004 80808011 40150000
00000000 00000000 00050211 90060102 00000010 73747473 00000000 00000000 00000010 73747363 00000000 00000000 00000014
7374737a 00000000 00000000 00000000 00000010 7374636f 00000000 00000000 00000028 6d766578 00000020 74726578 00000000
00000001 00000001 00000000 00000000 00000000
"""

AUDIO_SEGMENT = """
00 00001873 7479706d 73646800 0000006d 73646863 6d667300 00006c6d 6f6f6600 0000106d 66686400 00000000 00000300
00005474 72616600 00001874 66686400 02002800 00000100 00040002 00000000 00001474 66647401 00000000 00000000 00100000
00002074 72756e01 00020100 00000300 00007400 00000800 00000400 00000500 0000196d 64617400 00000400 00000000 00000500
00000600
"""


def growing() -> dict[str, str]:
    two = video_segments(2, last_frames=100)
    presentation = a_presentation(
        complete=False,
        storyboard=None,
        video=(a_video_rendition(segments=two),),
        audio=(a_sound_rendition(segments=audio_segments(two)),),
    )
    return {file.name: file.body.decode() for file in compose(presentation, published_at=PUBLISHED_AT)}


@pytest.mark.parametrize("name", COMPLETE)
def test_manifests_of_a_complete_presentation(name: str) -> None:
    files = {file.name: file.body.decode() for file in compose(a_presentation(), published_at=PUBLISHED_AT)}
    assert files[name] == COMPLETE[name]


@pytest.mark.parametrize("name", GROWING)
def test_manifests_of_a_growing_presentation(name: str) -> None:
    assert growing()[name] == GROWING[name]


def test_boxes_of_a_video_chunk() -> None:
    """Frames 8 to 13 with GOPs of 4: segment 1, an IDR and its rest twice, composition offsets of both signs."""
    cut = cut_video(
        fake_video(range(8, 14), gop_frames=4),
        timescale=12_800,
        frame_ticks=512,
        first_frame=8,
        expected_frames=6,
        gop_frames=4,
        segment_frames=8,
        first_segment=1,
    )
    (segment,) = cut.segments
    assert cut.init == bytes.fromhex(VIDEO_INIT)
    assert segment.data == bytes.fromhex(VIDEO_SEGMENT)


def test_boxes_of_an_audio_piece() -> None:
    cut = cut_audio(
        fake_audio(range(3, 8)),
        skip_frames=1,
        frames=FrameRange(4, 7),
        segment_ranges=(FrameRange(4, 7),),
        first_segment=2,
    )
    (segment,) = cut.segments
    assert cut.init == bytes.fromhex(AUDIO_INIT)
    assert segment.data == bytes.fromhex(AUDIO_SEGMENT)
