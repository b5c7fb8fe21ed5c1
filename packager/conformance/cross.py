"""Rules across files: everything named exists, is served properly, and is shared between HLS and DASH."""

from __future__ import annotations

from packager.conformance.findings import Judge
from packager.conformance.subject import Fetched, FileKind, Subject

_TYPES = {
    FileKind.PLAYLIST: ("application/vnd.apple.mpegurl", "audio/mpegurl", "application/x-mpegurl"),
    FileKind.MPD: ("application/dash+xml",),
    FileKind.INIT: ("video/mp4", "audio/mp4", "application/mp4", "video/iso.segment"),
    FileKind.SEGMENT: ("video/mp4", "audio/mp4", "application/mp4", "video/iso.segment", "video/mp2t"),
    FileKind.TEXT: ("text/vtt",),
    FileKind.IMAGE: ("image/jpeg", "image/png", "image/webp"),
    FileKind.KEY: ("application/octet-stream", "binary/octet-stream"),
}
_PARTIAL = 206


def judge_cross(subject: Subject, judge: Judge) -> None:
    for file in subject.files.values():
        exists = file.answer.found or file.answer.status == 416
        judge.expect(exists, "url-exists", file.named_at, f"{file.url} answers {file.answer.status}.")
        if subject.over_http and file.answer.found and file.kind is not FileKind.KEY:
            _served(file, judge)
    if subject.range_status is not None:
        where = next(iter(subject.files))
        judge.expect(subject.range_status == _PARTIAL, "url-range", where, f"The answer was {subject.range_status}.")
    _shared(subject, judge)


def _served(file: Fetched, judge: Judge) -> None:
    headers = file.answer.headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    rule = "hls-content-type" if file.kind is FileKind.PLAYLIST else "url-content-type"
    judge.expect(kind in _TYPES[file.kind], rule, file.url, f"The type is {kind or 'missing'}.")
    judge.expect("etag" in headers, "url-etag", file.url, "There is no ETag.")
    if file.kind is FileKind.PLAYLIST:
        coding = headers.get("content-encoding", "identity")
        judge.expect(coding in ("gzip", "br", "zstd"), "hls-gzip", file.url, f"Its encoding is {coding}.")
    elif file.kind in (FileKind.INIT, FileKind.SEGMENT):
        judge.expect(not file.answer.redirected, "hls-redirects", file.url, "It is redirected.")
        length = headers.get("content-length", "")
        judge.expect(length.isdigit(), "url-length", file.url, "There is no Content-Length.")


def _shared(subject: Subject, judge: Judge) -> None:
    in_hls = {piece.url for track in subject.tracks.values() for piece in track.pieces}
    in_dash = {piece.url for track in subject.dash_tracks.values() for piece in track.pieces}
    if in_hls and in_dash:
        apart = sorted(in_hls ^ in_dash)
        detail = f"{len(apart)} files are in one only, such as {apart[0]}." if apart else ""
        judge.expect(not apart, "same-files", subject.mpds[0].url, detail)
