"""The whole way of a video in one process, and the folder that comes out of it."""

from __future__ import annotations

from pathlib import Path

import m3u8
import pytest

from storage.blobs.local import LocalBlobs
from storage.blobs.memory import MemoryBlobs
from storage.catalogue import Video
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.schema import migrate
from storage.errors import UnsupportedSource
from storage.jobs import JobKind, Outcome
from storage.lifecycle import VideoState
from tests.workshop import MADE_UP, a_workshop
from workers.inline import encode_inline, export_presentation, ingest
from workers.parts import RunnerParts
from workers.steps.context import StepContext


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "My film.mp4"
    path.write_bytes(b"not really a film")
    return path


@pytest.fixture
def parts(tmp_path: Path) -> RunnerParts:
    return a_workshop(tmp_path / "scratch")


def test_a_file_is_taken_in_as_an_upload_would_be(parts: RunnerParts, film: Path) -> None:
    video = parts.catalogue.video(ingest(parts.catalogue, parts.blobs, film))
    assert (video.state, video.title, video.filename) == (VideoState.INSPECTING, "My film", "My film.mp4")
    assert parts.blobs.get(video.source_key) == film.read_bytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_video_is_encoded_until_it_is_ready_and_progress_is_told(
    tmp_path: Path, parts: RunnerParts, film: Path, threads: int
) -> None:
    told: list[Video] = []
    video = ingest(parts.catalogue, parts.blobs, film)
    assert encode_inline(parts, video, threads=threads, on_progress=told.append).state is VideoState.READY
    assert told[-1].progress == 1.0
    assert [it.progress for it in told] == sorted(it.progress for it in told)


def test_several_threads_share_a_database_file(tmp_path: Path, film: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalogue.sqlite3'}"
    migrate(url)
    parts = a_workshop(tmp_path / "scratch", catalogue=SqlCatalogue.open(url))
    video = ingest(parts.catalogue, parts.blobs, film)
    assert encode_inline(parts, video, threads=3).state is VideoState.READY
    parts.catalogue.close()


def test_a_refused_file_ends_the_run_with_its_reason(tmp_path: Path, film: Path) -> None:
    def inspect(ctx: StepContext) -> Outcome:
        raise UnsupportedSource("This is a text file.", reason_code="not_media")

    parts = a_workshop(tmp_path / "scratch", steps={JobKind.INSPECT: inspect})
    video = encode_inline(parts, ingest(parts.catalogue, parts.blobs, film))
    assert (video.state, video.reason_code) == (VideoState.REJECTED, "not_media")


def test_an_error_in_the_progress_callback_drains_the_threads(parts: RunnerParts, film: Path) -> None:
    def interrupt(video: Video) -> None:
        raise KeyboardInterrupt

    video = ingest(parts.catalogue, parts.blobs, film)
    with pytest.raises(KeyboardInterrupt):
        encode_inline(parts, video, on_progress=interrupt)
    assert not list(parts.settings.jobs.glob("*"))


def exported(parts: RunnerParts, film: Path, folder: Path) -> set[str]:
    video = ingest(parts.catalogue, parts.blobs, film)
    encode_inline(parts, video)
    made = export_presentation(parts.catalogue, parts.blobs, video, folder)
    assert {made[-1].name, made[-2].name} == {"master.m3u8", "manifest.mpd"}
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {str(path.relative_to(folder)) for path in made}
    return files


def test_every_file_that_a_playlist_names_is_in_the_exported_folder(
    tmp_path: Path, parts: RunnerParts, film: Path
) -> None:
    folder = tmp_path / "out"
    files = exported(parts, film, folder)
    master = m3u8.loads((folder / "master.m3u8").read_text())
    media = [playlist.uri for playlist in master.playlists] + [medium.uri for medium in master.media if medium.uri]
    assert len(media) == 4
    for uri in media:
        playlist = m3u8.loads((folder / uri).read_text())
        assert playlist.is_endlist
        named = {segment.uri for segment in playlist.segments} | {playlist.segment_map[0].uri}
        assert {f"{uri.rpartition('/')[0]}/{name}" for name in named} <= files
    assert {"poster.jpg", "storyboard.vtt", "storyboard/0-0.jpg"} <= files


def test_an_export_from_a_folder_of_objects_takes_no_room(tmp_path: Path, film: Path) -> None:
    parts = a_workshop(tmp_path / "scratch", blobs=LocalBlobs(tmp_path / "objects"))
    exported(parts, film, tmp_path / "out")
    assert (tmp_path / "out" / "master.m3u8").stat().st_nlink == 2


def test_an_export_replaces_what_an_earlier_one_left(tmp_path: Path, film: Path) -> None:
    parts = a_workshop(tmp_path / "scratch", blobs=MemoryBlobs())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "master.m3u8").write_text("old")
    exported(parts, film, tmp_path / "out")
    assert (tmp_path / "out" / "master.m3u8").read_text().startswith("#EXTM3U")


def test_a_failing_thread_does_not_end_the_others(tmp_path: Path, film: Path) -> None:
    class Hiccup(SqlCatalogue):
        claims = 0

        def claim(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            self.claims += 1
            if self.claims == 1:
                raise RuntimeError("a bug outside of any job")
            return super().claim(*arguments, **options)  # type: ignore[arg-type]

    parts = a_workshop(tmp_path / "scratch", catalogue=Hiccup.in_memory(), steps=MADE_UP)
    assert encode_inline(parts, ingest(parts.catalogue, parts.blobs, film)).state is VideoState.READY
