"""Every rule of HLS, DASH and CMAF that we check, as a table.

Sources: *Apple n* is the HLS Authoring Specification for Apple Devices; *RFC 8216bis* is draft-pantos-hls-rfc8216bis;
*DASH-IF timing* the restricted timing model of the interoperability guidelines; *23009-1* DASH; *23000-19* CMAF.
"""

from __future__ import annotations

from packager.conformance.findings import Rule, Severity

_MULTIVARIANT = "there is no multivariant playlist"
_PLAYLIST = "there is no HLS playlist"
_MEDIA = "there is no media playlist"
_VIDEO = "there is no video that could be measured"
_AUDIO = "there is no audio rendition"
_SUBTITLES = "there are no subtitles"
_IFRAMES = "there is no I-frame playlist"
_GROUPS = "there are no alternative renditions"
_MPD = "there is no MPD"
_DYNAMIC = "there is no dynamic MPD"
_STATIC = "there is no static MPD"
_IMAGES = "there are no image tiles in an MPD"
_TRICK = "there are no pictures for winding in an MPD"
_ENCRYPTED = "nothing is encrypted"
_CBCS = "nothing is encrypted with cbcs"
_KEYS = "no playlist names a key"
_AES128 = "nothing is encrypted with AES-128"
_PROTECTED = "there is no ContentProtection in an MPD"
_FMP4 = "there are no fragmented MP4 segments that could be read"
_HTTP = "the files were not read over HTTP"


def _must(rule: str, source: str, says: str, remedy: str, needs: str) -> Rule:
    return Rule(id=rule, severity=Severity.MUST, source=source, says=says, remedy=remedy, needs=needs)


def _should(rule: str, source: str, says: str, remedy: str, needs: str) -> Rule:
    return Rule(id=rule, severity=Severity.SHOULD, source=source, says=says, remedy=remedy, needs=needs)


_HLS_SYNTAX = (
    _must("hls-utf8", "RFC 8216bis 4", "Playlists are UTF-8 without a byte order mark.", "Encode as UTF-8; drop the mark.", _PLAYLIST),
    _must("hls-first-line", "RFC 8216bis 4.4.1.1", "The first line is #EXTM3U.", "Put #EXTM3U first, alone on its line.", _PLAYLIST),
    _must("hls-line-ends", "RFC 8216bis 4.1", "Lines end with LF or CRLF; there are no other control characters.", "End lines with a line feed.", _PLAYLIST),
    _must("hls-mixed-kinds", "RFC 8216bis 4.1", "A playlist is either multivariant or a media playlist.", "Split the tags into two files.", _PLAYLIST),
    _must("hls-attribute-syntax", "RFC 8216bis 4.2", "Attribute lists are NAME=value pairs, each name once, strings in double quotes.", "Quote strings and separate attributes by commas only.", _PLAYLIST),
    _must("hls-enumerated-values", "RFC 8216bis 4.2", "Enumerated values are among those that the specification lists.", "Use one of the listed values.", _PLAYLIST),
    _must("hls-required-attributes", "RFC 8216bis 4.4", "Tags carry the attributes that they require.", "Add the attribute that is named.", _PLAYLIST),
    _must("hls-version-once", "RFC 8216bis 4.4.1.2", "EXT-X-VERSION stands at most once.", "Keep one EXT-X-VERSION.", _PLAYLIST),
    _must("hls-version-sufficient", "RFC 8216bis 8", "EXT-X-VERSION is at least what the playlist's features need.", "Raise EXT-X-VERSION to the number that is named.", _PLAYLIST),
    _must("hls-content-type", "Apple 10.4", "Playlists are served as application/vnd.apple.mpegurl or audio/mpegurl.", "Set the Content-Type of .m3u8.", _HTTP),
    _must("hls-gzip", "Apple 10.1", "Playlists are served compressed to those who accept gzip.", "Compress playlists on the server or the edge.", _HTTP),
    _must("hls-redirects", "Apple 8.18", "Media is not redirected.", "Name the final URL in the playlist.", _HTTP),
)  # fmt: skip

_HLS_MULTIVARIANT = (
    _must("hls-codecs-present", "Apple 9.1, 9.3", "Every variant and I-frame variant has CODECS.", "Add CODECS from the init segment's boxes.", _MULTIVARIANT),
    _must("hls-codecs-match", "Apple 9.1", "CODECS is what the init segments say.", "Take CODECS from avcC, hvcC or esds.", _FMP4),
    _must("hls-resolution-present", "Apple 9.2, 9.4", "Every video and I-frame variant has RESOLUTION.", "Add RESOLUTION.", _MULTIVARIANT),
    _must("hls-resolution-match", "Apple 9.2", "RESOLUTION is the size that is displayed.", "Take RESOLUTION from the track header.", _VIDEO),
    _must("hls-average-present", "Apple 9.14", "Every variant has AVERAGE-BANDWIDTH.", "Add AVERAGE-BANDWIDTH, measured from the segments.", _MULTIVARIANT),
    _must("hls-average-measured", "Apple 1.26", "The measured average is within 10 % of AVERAGE-BANDWIDTH.", "Measure: all bytes over all seconds.", _FMP4),
    _must("hls-peak-measured", "Apple 1.27", "The measured peak is within 10 % of BANDWIDTH.", "Measure the largest rate of runs of 0.5 to 1.5 target durations.", _FMP4),
    _must("hls-bandwidth-combination", "Apple 9.13", "BANDWIDTH is that of the costliest combination of renditions.", "Add the costliest audio rendition of the group.", _FMP4),
    _must("hls-bandwidth-order", "RFC 8216bis 4.4.6.2", "BANDWIDTH is not below AVERAGE-BANDWIDTH.", "Measure both over the same segments.", _MULTIVARIANT),
    _should("hls-peak-to-average", "Apple 1.30", "The peak is at most twice the average.", "Cap the encoder's rate over a shorter window.", _MULTIVARIANT),
    _must("hls-frame-rate-present", "Apple 9.15", "Every video variant has FRAME-RATE.", "Add FRAME-RATE.", _MULTIVARIANT),
    _must("hls-frame-rate-match", "RFC 8216bis 4.4.6.2", "FRAME-RATE is that of the pictures, to three decimals.", "Take FRAME-RATE from sample durations.", _VIDEO),
    _must("hls-max-frame-rate", "Apple 1.19", "There are at most 60 pictures a second.", "Drop pictures above 60 a second.", _MULTIVARIANT),
    _must("hls-iframe-attributes", "RFC 8216bis 4.4.6.3", "EXT-X-I-FRAME-STREAM-INF has none of FRAME-RATE, AUDIO, SUBTITLES, CLOSED-CAPTIONS.", "Leave the attribute out.", _IFRAMES),
    _must("hls-video-range", "Apple 9.16", "VIDEO-RANGE is stated unless all variants are SDR, and is that of the pictures.", "Add VIDEO-RANGE by the transfer function: SDR, HLG or PQ.", _MULTIVARIANT),
    _must("hls-sdr-fallback", "Apple 1.24", "Where there is HDR, there are SDR variants too.", "Add SDR variants.", "no variant is HDR"),
    _must("hls-two-variants", "Apple 9.9", "There are at least two variants.", "Add a lower rung.", _MULTIVARIANT),
    _should("hls-two-at-top", "Apple 9.10", "There are at least two variants at the largest size.", "Add a second rate at the largest size.", _MULTIVARIANT),
    _should("hls-trick-variant", "Apple 6.1, RFC 8216bis 4.4.6.3", "Pictures for trick play are no variant that a player may choose.", "List it as EXT-X-I-FRAME-STREAM-INF only.", _MULTIVARIANT),
    _should("hls-first-variant", "Apple 1.32", "The first variant is near 2000 kbit/s.", "List the variant nearest to 2000 kbit/s first.", _MULTIVARIANT),
    _must("hls-iframe-playlists", "Apple 6.1", "There is an I-frame playlist.", "Add EXT-X-I-FRAME-STREAM-INF.", _MULTIVARIANT),
    _should("hls-dense-iframes", "Apple 6.2", "An I-frame playlist has a picture a second.", "Encode a rendition for trick play of one picture a second.", _IFRAMES),
    _must("hls-score", "Apple 9.19", "SCORE is on all variants or on none.", "Add SCORE to all variants.", _MULTIVARIANT),
    _must("hls-independent-segments", "Apple 9.11, 9.12", "EXT-X-INDEPENDENT-SEGMENTS is in the multivariant playlist or in every video playlist.", "Add it to the multivariant playlist.", _MULTIVARIANT),
    _must("hls-group-exists", "RFC 8216bis 4.4.6.2", "Groups that variants name exist.", "Add EXT-X-MEDIA with this GROUP-ID.", _GROUPS),
    _must("hls-group-names", "RFC 8216bis 4.4.6.1.1", "Names are unique in a group.", "Give each rendition its own NAME.", _GROUPS),
    _must("hls-group-default", "RFC 8216bis 4.4.6.1.1", "At most one rendition of a group is the default.", "Keep one DEFAULT=YES in the group.", _GROUPS),
    _should("hls-default-rendition", "RFC 8216bis 4.4.6.1", "A group of audio has a default.", "Set DEFAULT=YES on the rendition that plays unless the viewer says otherwise.", _AUDIO),
    _must("hls-default-autoselect", "RFC 8216bis 4.4.6.1", "A default rendition may be selected automatically.", "Set AUTOSELECT=YES.", _GROUPS),
    _must("hls-language", "Apple 4.7, 8.10", "Every EXT-X-MEDIA but VIDEO has a LANGUAGE.", "Add LANGUAGE as of BCP 47, `und` where it is not known.", _GROUPS),
    _must("hls-stereo-aac", "Apple 2.3", "There is a stereo (or mono) AAC rendition.", "Add a rendition in AAC with two channels.", _AUDIO),
    _must("hls-audio-apart", "Apple 9.6, 9.7", "Surround sound and sound to choose from are renditions of their own.", "Write them to files of their own, and name these by URI.", _AUDIO),
    _must("hls-channels", "RFC 8216bis 4.4.6.1", "CHANNELS of an audio rendition is that of its track.", "Take CHANNELS from the codec's configuration.", _AUDIO),
    _must("hls-characteristics", "Apple 2.12, 2.13, 4.5, 4.6", "Descriptions and captions for the deaf may be selected automatically; the latter tell both speech and sounds.", "Set AUTOSELECT=YES, and both public.accessibility.transcribes-spoken-dialog and describes-music-and-sound.", "no rendition has CHARACTERISTICS"),
    _should("hls-forced-autoselect", "Apple 5.11", "Forced subtitles may be selected automatically.", "Set AUTOSELECT=YES beside FORCED=YES.", "no subtitles are forced"),
)  # fmt: skip

_HLS_MEDIA = (
    _must("hls-target-duration", "RFC 8216bis 4.4.3.1", "A media playlist has one EXT-X-TARGETDURATION.", "Add EXT-X-TARGETDURATION.", _MEDIA),
    _must("hls-playlist-type", "Apple 8.6, 8.8", "EXT-X-PLAYLIST-TYPE is VOD, or EVENT while it grows.", "Add EXT-X-PLAYLIST-TYPE.", _MEDIA),
    _must("hls-endlist", "Apple 8.6", "A VOD playlist ends with EXT-X-ENDLIST.", "Add EXT-X-ENDLIST.", _MEDIA),
    _must("hls-extinf", "RFC 8216bis 4.4.4.1", "Every segment has an EXTINF.", "Write EXTINF before each URI.", _MEDIA),
    _must("hls-target-rounded", "RFC 8216bis 4.4.3.1, Apple 7.7", "No EXTINF, rounded, exceeds the target duration.", "Raise EXT-X-TARGETDURATION in all playlists.", _MEDIA),
    _should("hls-target-tight", "RFC 8216bis 4.4.3.1", "The target duration is that of the longest segment, rounded, not rounded up.", "Round the longest EXTINF to the nearest second.", _MEDIA),
    _should("hls-six-seconds", "Apple 7.5, 7.6", "Segments last about 6 seconds.", "Choose segments of 6 seconds.", _MEDIA),
    _must("hls-same-target", "Apple 8.2", "All playlists have the same target duration.", "Write the largest one everywhere.", _MEDIA),
    _must("hls-same-range", "Apple 5.5, 8.3, 8.7", "All playlists, subtitles included, cover the same time.", "End all renditions together; pad subtitles with empty segments.", _MEDIA),
    _must("hls-extinf-exact", "Apple 8.1", "Sums of EXTINF stay within a picture of the real durations.", "Derive EXTINF from sample durations, without accumulating rounding.", _FMP4),
    _must("hls-map", "Apple 8.20", "fMP4 segments have an EXT-X-MAP.", "Add EXT-X-MAP.", _MEDIA),
    _must("hls-discontinuities", "Apple 8.15", "Discontinuities are at the same times everywhere.", "Insert them in all renditions.", _MEDIA),
    _should("hls-boundaries", "Apple 8.22", "Segments start at the same times in all renditions.", "Align keyframes and cuts of all renditions.", _MEDIA),
    _must("hls-byte-ranges", "RFC 8216bis 4.4.4.2", "Byte ranges lie inside their files.", "Take offsets and sizes from the stored segment.", "there are no byte ranges"),
    _must("hls-iframes-only", "Apple 6.8", "An I-frame playlist has EXT-X-I-FRAMES-ONLY.", "Add EXT-X-I-FRAMES-ONLY.", _IFRAMES),
    _must("hls-iframe-range", "Apple 6.10", "An I-frame's range is a whole fragment: its moof and all samples that it declares.", "Make the keyframe a fragment of its own.", _IFRAMES),
    _must("hls-iframe-picture", "Apple 6.8, RFC 8216bis 4.4.3.6", "An I-frame's range holds exactly one picture, a keyframe.", "Let each entry name one keyframe.", _IFRAMES),
    _should("hls-gop", "Apple 1.13", "Keyframes are at most 2 seconds apart.", "Shorten the GOP.", _VIDEO),
    _must("hls-idr-start", "Apple 7.4", "Every video segment starts with an IDR picture.", "Cut at IDR pictures.", _VIDEO),
    _must("hls-subtitle-format", "Apple 5.1, 5.4", "Subtitles are WebVTT files or IMSC1 in fMP4.", "Segment WebVTT as text.", _SUBTITLES),
    _must("hls-timestamp-map", "Apple 5.3", "WebVTT segments carry X-TIMESTAMP-MAP.", "Add X-TIMESTAMP-MAP=MPEGTS:…,LOCAL:… to the header.", _SUBTITLES),
    _must("hls-key-first", "RFC 8216bis 4.4.4.4", "EXT-X-KEY precedes the first segment that it covers.", "Write EXT-X-KEY before the first encrypted segment.", _ENCRYPTED),
    _must("hls-sample-encryption", "Apple 13.7, 13.11", "Samples are encrypted with cbcs, video in the pattern 1:9.", "Encrypt with cbcs.", _ENCRYPTED),
)  # fmt: skip

_DASH = (
    _must("dash-well-formed", "23009-1 5.2", "The MPD is well-formed XML with the root MPD.", "Write XML.", _MPD),
    _must("dash-profiles", "23009-1 5.3.1.2", "The MPD names its profiles.", "Add @profiles.", _MPD),
    _must("dash-min-buffer-time", "23009-1 5.3.1.2", "The MPD states minBufferTime.", "Add @minBufferTime.", _MPD),
    _must("dash-static-duration", "DASH-IF timing", "A static MPD states its duration.", "Add @mediaPresentationDuration.", _STATIC),
    _must("dash-duration-accurate", "DASH-IF timing", "The stated duration is that of the segments.", "Take it from the segments.", _STATIC),
    _must("dash-period-start", "DASH-IF timing", "The first period starts at 0.", "Write start=\"PT0S\".", _STATIC),
    _must("dash-dynamic-attributes", "23009-1 5.3.1.2", "A dynamic MPD states availabilityStartTime and publishTime.", "Add them.", _DYNAMIC),
    _must("dash-max-segment", "DASH-IF timing", "No segment is longer than maxSegmentDuration.", "Round @maxSegmentDuration up.", _MPD),
    _must("dash-seconds", "DASH-IF timing", "Durations have no years or months.", "Write durations in seconds.", _MPD),
    _must("dash-unique-ids", "23009-1 5.3.5.2", "Representation ids are unique in a period.", "Name each representation differently.", _MPD),
    _must("dash-bandwidth-present", "23009-1 5.3.5.2", "Every representation has a bandwidth.", "Add @bandwidth.", _MPD),
    _must("dash-bandwidth-measured", "23009-1 5.3.5.2", "A buffer of minBufferTime, filled at @bandwidth, never runs empty.", "Raise @bandwidth to the measured peak.", _FMP4),
    _must("dash-codecs-present", "DASH-IF IOP", "Every video and audio representation has codecs.", "Add @codecs.", _MPD),
    _must("dash-codecs-match", "23009-1 5.3.7.2", "@codecs is what the init segments say.", "Take @codecs from the boxes.", _FMP4),
    _must("dash-size-match", "23009-1 5.3.7.2", "@width and @height are those of the track.", "Take them from the sample entry.", _VIDEO),
    _must("dash-frame-rate-match", "23009-1 5.3.7.2", "@frameRate is that of the pictures.", "Take it from sample durations.", _VIDEO),
    _should("dash-frame-rate-reduced", "DASH-IF IOP", "@frameRate is written in lowest terms.", "Reduce the fraction.", _MPD),
    _should("dash-channels", "DASH-IF IOP", "AudioChannelConfiguration is that of the track.", "Take it from the codec's configuration.", _AUDIO),
    _must("dash-gaps", "DASH-IF timing", "Segment references have neither gaps nor overlaps.", "Let each segment start where the one before ends.", _MPD),
    _must("dash-covers-period", "DASH-IF timing", "Every representation covers the whole period.", "Add the missing segments or correct the duration.", _STATIC),
    _must("dash-surplus", "DASH-IF timing", "There are no segments outside of the period.", "Drop those that end before or start after it.", _STATIC),
    _must("dash-timescale-present", "DASH-IF timing", "Timescales are stated.", "Add @timescale.", _MPD),
    _must("dash-timescale-match", "DASH-IF timing", "Timescales are those of the media.", "Take @timescale from mdhd.", _FMP4),
    _must("dash-timeline-match", "DASH-IF timing", "Times and durations are those of the media.", "Take S@t and S@d from tfdt and sample durations.", _FMP4),
    _must("dash-numbers", "DASH-IF timing", "All numbers are below 2^53.", "Choose a smaller timescale.", _MPD),
    _must("dash-one-addressing", "DASH-IF timing", "An adaptation set has one way of addressing.", "Use one of SegmentBase, SegmentList, SegmentTemplate.", _MPD),
    _must("dash-forbidden-attributes", "DASH-IF timing", "S@n, @eptDelta and @presentationDuration are absent.", "Leave the attribute out.", _MPD),
    _must("dash-segment-pairs", "23009-1 5.3.9.3", "A SegmentList has a SegmentURL for every time.", "Write one S for every SegmentURL.", "there is no SegmentList with a timeline"),
    _must("dash-alignment", "23009-1 5.3.3.2", "With segmentAlignment, boundaries are identical in all representations.", "Align the cuts, or leave @segmentAlignment out.", _MPD),
    _should("dash-alignment-stated", "DASH-IF IOP", "Video and audio sets state segmentAlignment or subsegmentAlignment.", "Write segmentAlignment=\"true\".", _MPD),
    _must("dash-sap", "23009-1 5.3.3.2", "With startWithSAP, every segment starts so.", "Cut at keyframes.", _VIDEO),
    _should("dash-sap-stated", "DASH-IF IOP", "Video and audio sets state startWithSAP.", "Write startWithSAP=\"1\".", _MPD),
    _must("dash-language", "DASH-IF IOP", "Audio and text sets have a language.", "Add @lang, `und` where it is not known.", _MPD),
    _should("dash-role", "DASH-IF IOP", "Adaptation sets of one type tell their roles.", "Add Role.", _MPD),
    _should("dash-accessibility", "DASH-IF IOP, ETSI TS 103 285", "Sound that describes the pictures, and captions for the deaf, say so by Accessibility.", "Add Accessibility of urn:tva:metadata:cs:AudioPurposeCS:2007 with value 1, or 2 for the deaf.", "there are neither descriptions nor captions"),
    _must("dash-content-protection", "23009-1 5.8.4.1", "Encrypted sets have ContentProtection mp4protection with the default key id, equal to the track's.", "Add ContentProtection with cenc:default_KID of tenc.", _ENCRYPTED),
    _should("dash-image-tiles", "DASH-IF IOP 6.2.6", "Image sets state contentType and the grid of their tiles.", "Add contentType=\"image\" and EssentialProperty thumbnail_tile with \"WxH\".", _IMAGES),
    _should("dash-image-cover", "DASH-IF IOP 6.2.6", "Tiles cover the whole film.", "Make the missing tiles.", _IMAGES),
    _must("dash-trick-main", "DASH-IF IOP 3.2.9", "Pictures for winding name the set that they are of.", "Write its id as the value of the EssentialProperty.", _TRICK),
    _must("dash-trick-pictures", "DASH-IF IOP 3.2.9", "Each is exactly one keyframe, in a range that is a whole fragment.", "Make keyframes fragments of their own.", _TRICK),
    _must("dash-text-segments", "DASH-IF IOP", "Text is one whole file, or wvtt or stpp in MP4, never segments of raw WebVTT: dash.js would not start.", "Name one whole .vtt in BaseURL.", "there is no text in an MPD"),
)  # fmt: skip

_CMAF = (
    _must("cmaf-readable", "ISO/IEC 14496-12 4.2", "Init segments and segments are whole boxes.", "Write complete boxes; look for a cut upload.", _FMP4),
    _must("cmaf-brand", "23000-19 7.2", "The init segment has the brand cmfc or cmf2.", "Add the brand to ftyp.", _FMP4),
    _should("cmaf-segment-brand", "23000-19 7.2", "Segments that start with styp name a CMAF brand there.", "Add cmfs to styp.", "no segment starts with styp"),
    _must("cmaf-one-track", "23000-19 7.3.1", "A file has one track.", "Write each track to its own file.", _FMP4),
    _must("cmaf-one-traf", "23000-19 7.5.17", "A fragment has one track fragment.", "Write each track to its own file.", _FMP4),
    _must("cmaf-one-trun", "23000-19 7.5.17", "A track fragment has one run of samples.", "Write one trun.", _FMP4),
    _must("cmaf-tfdt", "23000-19 7.5.16", "Every track fragment has a decode time.", "Write tfdt.", _FMP4),
    _must("cmaf-base-is-moof", "23000-19 7.5.15", "Data offsets count from the moof.", "Set default-base-is-moof and no base-data-offset.", _FMP4),
    _must("cmaf-same-track", "23000-19 7.3.1", "Fragments are of the init segment's track.", "Write its track id to tfhd.", _FMP4),
    _must("cmaf-edit-list", "23000-19 7.5.13", "There is no edit list, or with cmfc one that only skips the start.", "Drop the edit list; use negative composition offsets.", _FMP4),
    _must("cmaf-cmf2", "23000-19 7.7", "With cmf2 runs have version 1 and defaults are repeated in every tfhd.", "Write them, or drop the brand.", "no init segment has the brand cmf2"),
    _should("cmaf-colour", "23000-19 9.2", "Video sample entries have colr and pasp.", "Write both boxes.", _VIDEO),
    _must("cmaf-parameter-sets", "ISO/IEC 14496-15 5.3", "Parameter sets are in the init segment for avc1 and hvc1.", "Write SPS and PPS to avcC.", _VIDEO),
    _must("cmaf-continuous", "Apple 7.3, 23000-19 7.3.2.3", "Each fragment is decoded where the one before ended.", "Write absolute decode times.", _FMP4),
    _must("cmaf-sequence", "ISO/IEC 14496-12 8.8.5", "Sequence numbers of fragments rise.", "Number fragments through the whole track.", _FMP4),
    _must("cmaf-sample-data", "ISO/IEC 14496-12 8.8.8", "Samples lie inside the mdat of their fragment.", "Correct data offset and sizes.", _FMP4),
    _must("cmaf-sample-flags", "ISO/IEC 14496-12 8.8.3.1", "Samples are marked as sync exactly where they are keyframes.", "Derive sample flags from the coded pictures.", _VIDEO),
    _must("cmaf-mixed-encryption", "23000-19 7.5.11", "Samples of a fragment are all encrypted or all clear.", "Begin a new fragment where encryption begins.", _ENCRYPTED),
    _should("cmaf-start-together", "23000-19 7.3.6", "All tracks start within a tenth of a second of each other.", "Count all tracks from one time zero.", _FMP4),
)  # fmt: skip

_CIPHERS = (
    _must("cmaf-protection-info", "ISO/IEC 14496-12 8.12, 23001-7 8.2", "Encrypted sample entries have frma, schm and tenc.", "Write a whole sinf.", _ENCRYPTED),
    _must("cmaf-pattern", "23001-7 10.4", "With cbcs video has the pattern 1:9, sound whole blocks.", "Write the pattern to tenc.", _CBCS),
    _must("cmaf-constant-iv", "23001-7 10.4", "With cbcs the IV is constant, of 8 or 16 bytes.", "Write it to tenc, and 0 as the size of samples' own.", _CBCS),
    _must("cmaf-pssh", "23001-7 8.1", "pssh boxes are whole, and list the track's key where they list any.", "Write version 1 with all key ids.", _ENCRYPTED),
    _must("cmaf-subsample-map", "23001-7 7.1", "saiz and saio say where the map of subsamples is.", "Take sizes and the offset from senc.", _ENCRYPTED),
    _must("cmaf-subsample-sum", "23001-7 9.5.1", "Subsamples add up to their sample.", "Count every byte of a sample, clear or not.", _ENCRYPTED),
    _must("cmaf-clear-headers", "23001-7 9.5.2", "Of NAL units lengths and headers are clear, and all that are no slices.", "Encrypt the data of slices only.", _ENCRYPTED),
    _must("hls-key-attributes", "RFC 8216bis 4.4.4.4", "A key has a URI, and an IV is of 128 bits in hexadecimal.", "Correct the attribute that is named.", _KEYS),
    _must("hls-key-iv", "RFC 8216bis 4.4.4.4", "The IV of a key is the constant one of its segments.", "Take it from tenc.", _KEYS),
    _must("hls-key-size", "RFC 8216bis 5.1", "A key is 16 bytes.", "Serve the bytes themselves, not their digits.", _KEYS),
    _should("hls-session-key", "RFC 8216bis 4.4.6.5", "Keys are announced in the multivariant playlist.", "Add EXT-X-SESSION-KEY.", _KEYS),
    _must("hls-aes128-blocks", "RFC 8216bis 4.4.4.2, 5.2", "What AES-128 encrypts is whole blocks, byte ranges too.", "Encrypt and fill up each by itself.", _AES128),
    _must("hls-aes128-map", "RFC 8216bis 4.4.4.5", "An init segment under AES-128 has a key with an IV.", "Put EXT-X-MAP before EXT-X-KEY, or add an IV.", _AES128),
    _must("dash-key-id", "23009-1 5.8.4.1", "default_KID is a UUID.", "Write it with its four dashes.", _PROTECTED),
    _must("dash-pssh", "23009-1 5.8.5.11", "A pssh in an MPD is a whole box of its system, and lists the default key where it lists any.", "Copy it from the init segment.", _PROTECTED),
    _should("dash-licence", "DASH-IF IOP 12.5", "ClearKey tells where licences are.", "Add dashif:Laurl.", _PROTECTED),
)  # fmt: skip

_CROSS = (
    _must("url-exists", "RFC 8216bis 3, 23009-1 5.6", "Every URL that is named can be read.", "Publish manifests last, or restore what is missing.", "no file is named"),
    _must("url-content-type", "Apple 10.4, RFC 4337", "Media, MPDs and images are served with their types.", "Set Content-Type by suffix.", _HTTP),
    _must("url-range", "RFC 9110 14.2", "The server answers byte ranges with 206.", "Let the server honour Range.", _HTTP),
    _should("url-length", "RFC 9110 8.6", "Media is served with its length.", "Send Content-Length.", _HTTP),
    _should("url-etag", "RFC 9110 8.8.3", "Answers carry an ETag.", "Add strong ETags.", _HTTP),
    _should("same-files", "23000-19 1", "HLS and DASH name the same segments.", "Write both manifests over one store.", "there are not both HLS and DASH"),
    _should("deterministic", "our own", "Init segments hold no time of creation: the same input gives the same bytes.", "Write zero as creation and modification times.", _FMP4),
)  # fmt: skip

GROUPS: dict[str, tuple[Rule, ...]] = {
    "Playlists": _HLS_SYNTAX,
    "Multivariant playlists": _HLS_MULTIVARIANT,
    "Media playlists": _HLS_MEDIA,
    "DASH": _DASH,
    "CMAF": _CMAF,
    "Encryption": _CIPHERS,
    "All files": _CROSS,
}

RULES: dict[str, Rule] = {rule.id: rule for rules in GROUPS.values() for rule in rules}
