"""Values of the domain with every field filled in: a test names only what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any

from storage.catalogue import Asset, NewUpload, RenditionRow
from storage.ids import DEFAULT_TENANT, AssetId, JobId, TenantId, VideoId
from storage.jobs import (
    Encoded,
    IFrame,
    Inspected,
    Job,
    JobKind,
    JobState,
    Lane,
    NewJob,
    Published,
    PublishedName,
    RenditionSegments,
    Segment,
    Thumbnailed,
)
from storage.media.ladder import AudioPiece, AudioRendition, Chunk, EncodePlan, Ladder, Rung
from storage.media.source import AudioTrack, Note, Source, VideoTrack
from storage.media.time import FrameRange, audio_frames_until

# --- what was uploaded -----------------------------------------------------------------------------------------------


def a_new_upload(**changes: Any) -> NewUpload:
    values: dict[str, Any] = {
        "tenant": DEFAULT_TENANT,
        "length_bytes": 1000,
        "metadata_raw": "filename ZmlsbS5tcDQ=",
        "title": "Film",
        "filename": "film.mp4",
        "lane": Lane.STANDARD,
    }
    return NewUpload(**values | changes)


def a_video_track(**changes: Any) -> VideoTrack:
    values: dict[str, Any] = {
        "index": 0,
        "codec": "h264",
        "width": 1280,
        "height": 720,
        "frame_rate": Fraction(25),
        "duration": Fraction(16),
    }
    return VideoTrack(**values | changes)


def an_audio_track(**changes: Any) -> AudioTrack:
    values: dict[str, Any] = {"index": 1, "codec": "aac", "sample_rate_hz": 48_000, "channels": 2, "language": "en"}
    return AudioTrack(**values | changes)


def a_source(**changes: Any) -> Source:
    values: dict[str, Any] = {
        "demuxer": "mov,mp4,m4a,3gp,3g2,mj2",
        "size_bytes": 1000,
        "duration": Fraction(16),
        "start": Fraction(0),
        "video": a_video_track(),
        "audio": (an_audio_track(),),
    }
    return Source(**values | changes)


# --- what will be made of it -----------------------------------------------------------------------------------------


def a_rung(name: str = "360p", **changes: Any) -> Rung:
    values: dict[str, Any] = {"width": 640, "height": 360, "crf": 23, "max_rate_bps": 800_000}
    return Rung(name=name, **values | changes)


def a_ladder(*names: str, **changes: Any) -> Ladder:
    """Rungs of ``names`` (default: 360p and 720p) at 25 frames per second: segments of 100 frames."""
    names = names or ("360p", "720p")
    values: dict[str, Any] = {
        "rungs": tuple(a_rung(name) for name in names),
        "frame_rate": Fraction(25),
        "gop_frames": 50,
        "fast_start": names[:2],
    }
    return Ladder(**values | changes)


def an_audio_rendition(**changes: Any) -> AudioRendition:
    values: dict[str, Any] = {
        "name": "audio-en",
        "track_index": 1,
        "language": "en",
        "channels": 2,
        "bit_rate_bps": 128_000,
        "default": True,
        "label": "English",
    }
    return AudioRendition(**values | changes)


def an_encode_plan(**changes: Any) -> EncodePlan:
    """16 seconds: four segments of two rungs, in chunks of one and three segments, without sound."""
    values: dict[str, Any] = {
        "recipe": "1",
        "ladder": a_ladder(),
        "total_frames": 400,
        "chunks": (
            Chunk(index=0, frames=FrameRange(0, 100), first_segment=0),
            Chunk(index=1, frames=FrameRange(100, 400), first_segment=1),
        ),
    }
    return EncodePlan(**values | changes)


def an_audio_piece(**changes: Any) -> AudioPiece:
    values: dict[str, Any] = {"index": 0, "frames": FrameRange(0, 750), "first_segment": 0, "stop_segment": 4}
    return AudioPiece(**values | changes)


# --- what jobs hand back ---------------------------------------------------------------------------------------------


def a_new_job(kind: JobKind = JobKind.ENCODE, lane: Lane = Lane.STANDARD, **changes: Any) -> NewJob:
    return NewJob(kind=kind, lane=lane, **changes)


def an_inspected(**changes: Any) -> Inspected:
    """The plan of `an_encode_plan` with its two chunks as jobs and thumbnails."""
    plan: EncodePlan = changes.get("plan") or an_encode_plan()
    values: dict[str, Any] = {
        "source": a_source(),
        "plan": plan,
        "video_renditions": plan.ladder.rungs,
        "audio_renditions": plan.audio,
        "notes": (),
        "jobs": (
            a_new_job(JobKind.ENCODE, Lane.PLAYABLE, payload={"chunk": 0}),
            a_new_job(JobKind.ENCODE, payload={"chunk": 1}, order=1),
            a_new_job(JobKind.THUMBNAILS, order=2),
        ),
    }
    return Inspected(**values | changes)


def a_segment(number: int = 0, **changes: Any) -> Segment:
    """Segment ``number`` of `an_encode_plan`, in ticks of 1/12,800 s, with its two I-frames."""
    values: dict[str, Any] = {
        "name": f"{number}-{number:012x}.m4s",
        "start_ticks": number * 51_200,
        "duration_ticks": 51_200,
        "size_bytes": 90_000,
        "iframes": (
            IFrame(offset=0, size=9_000, duration_ticks=25_600),
            IFrame(offset=45_000, size=8_000, duration_ticks=25_600),
        ),
    }
    return Segment(number=number, **values | changes)


def some_rendition_segments(rendition: str = "360p", *numbers: int, **changes: Any) -> RenditionSegments:
    values: dict[str, Any] = {
        "init_name": "init-0123456789ab.mp4",
        "init_size_bytes": 700,
        "codecs": "avc1.64001e",
        "timescale": 12_800,
        "fingerprint": "libx264 veryfast",
        "segments": tuple(a_segment(number) for number in numbers),
    }
    return RenditionSegments(rendition=rendition, **values | changes)


def an_encoded(segments: Mapping[str, tuple[int, ...]] | None = None, **changes: Any) -> Encoded:
    """Segments by rendition; default: the first one of both rungs."""
    wanted = {"360p": (0,), "720p": (0,)} if segments is None else segments
    outputs = tuple(some_rendition_segments(rendition, *numbers) for rendition, numbers in wanted.items())
    values: dict[str, Any] = {"outputs": outputs, "cpu_ms": 1000}
    return Encoded(**values | changes)


def a_published_name(
    name: str = "master.m3u8", key: str = "a-0/master-0123456789ab.m3u8", **changes: Any
) -> PublishedName:
    values: dict[str, Any] = {"content_type": "application/vnd.apple.mpegurl", "size_bytes": 400}
    return PublishedName(name=name, key=key, **values | changes)


def a_published(revision: int = 1, **changes: Any) -> Published:
    values: dict[str, Any] = {"names": (a_published_name(),), "playable": True, "final": False}
    return Published(revision=revision, **values | changes)


def a_thumbnailed(**changes: Any) -> Thumbnailed:
    poster = a_published_name("poster.jpg", "a-0/poster-0123456789ab.jpg", content_type="image/jpeg")
    storyboard = {
        "tiles": ["storyboard/0-0123456789ab.jpg"],
        "columns": 5,
        "rows": 5,
        "interval": "2/1",
        "tile_width": 160,
        "tile_height": 90,
        "count": 8,
    }
    return Thumbnailed(**{"names": (poster,), "storyboard": storyboard} | changes)


def a_note(code: str = "deinterlaced", sentence: str = "The picture was deinterlaced.") -> Note:
    return Note(code=code, sentence=sentence)


def a_tenant(name: str = "someone-else") -> TenantId:
    return TenantId(name)


# --- what is stored of it --------------------------------------------------------------------------------------------


def a_job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": JobId("j" * 16),
        "video": VideoId("v" * 16),
        "asset": AssetId("a-0000000000000000"),
        "tenant": DEFAULT_TENANT,
        "kind": JobKind.ENCODE,
        "lane": Lane.STANDARD,
        "state": JobState.LEASED,
        "payload": {},
        "recipe": "1",
        "token": 1,
    }
    return Job(**values | changes)


def a_film_plan(
    segments: int = 5, *, ladder: Ladder | None = None, audio: Iterable[AudioRendition] | None = None
) -> EncodePlan:
    """``segments`` full segments: a chunk of one, then chunks of two; sound in two pieces. Three rungs by default."""
    ladder = ladder or a_ladder("240p", "480p", "720p")
    audio = (an_audio_rendition(),) if audio is None else tuple(audio)
    chunk_starts = [0, *range(1, segments, 2), segments]
    piece_starts = [0, segments // 2, segments] if segments > 1 else [0, 1]
    chunks = tuple(
        Chunk(
            index=index,
            frames=FrameRange(start * ladder.segment_frames, stop * ladder.segment_frames),
            first_segment=start,
        )
        for index, (start, stop) in enumerate(pairwise(chunk_starts))
    )
    aac_frames = [audio_frames_until(start * ladder.segment_seconds) for start in range(segments + 1)]
    pieces = tuple(
        an_audio_piece(
            index=index,
            frames=FrameRange(aac_frames[start], aac_frames[stop]),
            first_segment=start,
            stop_segment=stop,
        )
        for index, (start, stop) in enumerate(pairwise(piece_starts))
    )
    return an_encode_plan(
        ladder=ladder,
        total_frames=segments * ladder.segment_frames,
        chunks=chunks,
        audio=audio,
        audio_pieces=pieces if audio else (),
        audio_frames=aac_frames[-1] if audio else 0,
    )


def a_rendition_row(target: Rung | AudioRendition, numbers: Iterable[int] = ()) -> RenditionRow:
    """A rendition of which the segments ``numbers`` are stored."""
    stored = some_rendition_segments(target.name, *sorted(numbers))
    there = bool(stored.segments)
    return RenditionRow(
        name=target.name,
        rung=target if isinstance(target, Rung) else None,
        audio=target if isinstance(target, AudioRendition) else None,
        init_name=stored.init_name if there else None,
        codecs=stored.codecs if there else None,
        timescale=stored.timescale if there else None,
        fingerprint=stored.fingerprint if there else None,
        segments=stored.segments,
    )


def an_asset(
    plan: EncodePlan | None = None, *, stored: Mapping[str, Iterable[int]] | None = None, **changes: Any
) -> Asset:
    """Renditions with the segments that ``stored`` numbers by name; none of those it does not name."""
    plan = plan or a_film_plan()
    stored = stored or {}
    values: dict[str, Any] = {
        "id": AssetId("a-0000000000000000"),
        "video": VideoId("v" * 16),
        "source": a_source(),
        "plan": plan,
        "recipe": plan.recipe,
        "revision": 1,
        "published_revision": 0,
        "available_from_ms": 1_750_000_000_000,
        "renditions": tuple(
            a_rendition_row(target, stored.get(target.name, ())) for target in (*plan.ladder.rungs, *plan.audio)
        ),
    }
    return Asset(**values | changes)
