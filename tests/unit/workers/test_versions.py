"""Rolling deploys: workers of two versions side by side, a film that both work at, and steps that go by the job's recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from storage.blobs.memory import MemoryBlobs
from storage.catalogue import Catalogue
from storage.catalogue.sql import SqlCatalogue
from storage.ids import VideoId
from storage.jobs import LANES_BY_URGENCY, Encoded, JobKind, JobState, SilentBell
from storage.lifecycle import VideoState
from tests.builders import a_new_upload
from tests.workshop import MADE_UP, a_workshop
from workers.audit import audit
from workers.drain import Drain
from workers.runner import Runner
from workers.steps.context import Step, StepContext


def encoder_of(kind: JobKind, *versions: str) -> Step:
    """Encodes by the recipe of the job, and knows ``versions``."""

    def encode(ctx: StepContext) -> Encoded:
        assert ctx.job.recipe in versions
        made = MADE_UP[kind](ctx)
        assert isinstance(made, Encoded)
        return replace(
            made, outputs=tuple(replace(one, fingerprint=f"encoder of {ctx.job.recipe}") for one in made.outputs)
        )

    return encode


@pytest.fixture
def catalogue() -> SqlCatalogue:
    return SqlCatalogue.in_memory()


def a_worker(scratch: Path, catalogue: Catalogue, blobs: MemoryBlobs, *versions: str, **steps: Step) -> Runner:
    encoders = {kind: encoder_of(kind, *versions) for kind in (JobKind.ENCODE, JobKind.AUDIO)}
    parts = a_workshop(
        scratch,
        catalogue=catalogue,
        blobs=blobs,
        steps={**encoders, **{JobKind(kind): step for kind, step in steps.items()}},
        recipes=versions,
        min_free_disk_bytes=0,
        min_free_memory_bytes=0,
    )
    return parts.runner(SilentBell(), Drain())


def an_upload(catalogue: SqlCatalogue, blobs: MemoryBlobs, recipe: str) -> VideoId:
    """Of the version of the upload API that gives videos ``recipe``."""
    upload = catalogue.create_upload(a_new_upload(length_bytes=4))
    token = catalogue.acquire_upload(upload.id, "test", 60_000)
    blobs.put(upload.source_key, b"film")
    catalogue.record_progress(upload.id, token, offset_bytes=4, new_parts=(), tail=None)
    catalogue.complete_upload(upload.id, token, recipe=recipe)
    return upload.video


def fingerprints(catalogue: SqlCatalogue, video: VideoId) -> set[str | None]:
    return {rendition.fingerprint for rendition in catalogue.asset(catalogue.video(video).asset).renditions}


def test_a_film_begun_by_the_version_before_is_finished_by_this_one_by_its_own_recipe(
    catalogue: SqlCatalogue, tmp_path: Path
) -> None:
    blobs = MemoryBlobs()
    before = a_worker(tmp_path / "before", catalogue, blobs, "1")
    now = a_worker(tmp_path / "now", catalogue, blobs, "2", "1")
    old = an_upload(catalogue, blobs, "1")
    for _ in range(4):
        assert before.run_one(LANES_BY_URGENCY)
    assert catalogue.video(old).state in (VideoState.ENCODING, VideoState.PLAYABLE)
    new = an_upload(catalogue, blobs, "2")
    # Side by side, until the version before has nothing left that it knows; then it goes.
    while before.run_one(LANES_BY_URGENCY):
        now.run_one(LANES_BY_URGENCY)
    while now.run_one(LANES_BY_URGENCY):
        pass
    assert [catalogue.video(video).state for video in (old, new)] == [VideoState.READY] * 2
    assert fingerprints(catalogue, old) == {"encoder of 1"}
    assert fingerprints(catalogue, new) == {"encoder of 2"}
    assert {job.recipe for job in catalogue.jobs(limit=1000)} == {"1", "2"}
    assert audit(catalogue, blobs, grace_ms=0).clean


def test_the_version_before_leaves_alone_what_it_does_not_know(catalogue: SqlCatalogue, tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    new = an_upload(catalogue, blobs, "2")
    assert not a_worker(tmp_path, catalogue, blobs, "1").run_one(LANES_BY_URGENCY)
    (waiting,) = catalogue.jobs(video=new)
    assert (waiting.state, waiting.attempts, waiting.kills) == (JobState.READY, 0, 0)


def test_a_chunk_encoded_by_another_recipe_than_its_rendition_is_never_taken(
    catalogue: SqlCatalogue, tmp_path: Path
) -> None:
    """As if a version went by its own recipe in place of the job's: it is refused, and whoever does right finishes."""
    blobs = MemoryBlobs()
    video = an_upload(catalogue, blobs, "1")
    right = a_worker(tmp_path / "right", catalogue, blobs, "1")
    for _ in range(4):
        assert right.run_one(LANES_BY_URGENCY)

    def wrong(ctx: StepContext) -> Encoded:
        made = MADE_UP[ctx.job.kind](ctx)
        assert isinstance(made, Encoded)
        return replace(made, outputs=tuple(replace(one, fingerprint="encoder of 2") for one in made.outputs))

    mistaken = a_worker(tmp_path / "wrong", catalogue, blobs, "1", encode=wrong, audio=wrong)
    while mistaken.run_one(LANES_BY_URGENCY):
        pass
    retried = [job for job in catalogue.jobs(video=video) if job.attempts]
    assert retried
    assert all((job.reason or "").startswith("init_mismatch") for job in retried)
    stored = {one.name: one.fingerprint for one in catalogue.asset(catalogue.video(video).asset).renditions}
    assert "encoder of 1" in stored.values()
