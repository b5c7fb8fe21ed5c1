"""Renditions of failed hardware give way to others, and jobs that need hardware wait for who has it. On every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.catalogue.sql import SqlCatalogue
from storage.errors import StaleLease
from storage.ids import VideoId
from storage.jobs import LANES_BY_URGENCY, Job, JobKind, JobState, Lane
from storage.media.encoders import Encoder, Family
from storage.media.ladder import EncodePlan
from tests.builders import a_film_plan, an_encoded, an_inspected
from tests.journeys import MINUTE_MS, an_encoding_video, take
from workers.flow import plan_jobs
from workers.planning.on_cpu import on_cpu

NVENC = "1+nvenc"


def with_hardware() -> EncodePlan:
    plan = replace(a_film_plan(3, audio=()), recipe="1")
    rungs = tuple(
        rung if rung.name in plan.ladder.fast_start else replace(rung, encoder=Encoder.NVENC)
        for rung in plan.ladder.rungs
    )
    return replace(plan, ladder=replace(plan.ladder, rungs=rungs))


def an_accelerated_video(catalogue: SqlCatalogue) -> tuple[VideoId, EncodePlan]:
    plan = with_hardware()
    jobs = plan_jobs(plan, Lane.STANDARD)
    return an_encoding_video(catalogue, an_inspected(plan=plan, jobs=jobs)), plan


def claim(catalogue: SqlCatalogue, *recipes: str) -> Job | None:
    return catalogue.claim("worker", LANES_BY_URGENCY, MINUTE_MS, recipes=recipes)


def test_a_job_that_needs_hardware_is_claimed_by_who_knows_its_recipe(catalogue: SqlCatalogue) -> None:
    an_accelerated_video(catalogue)
    taken = []
    while (job := claim(catalogue, "1")) is not None:
        taken.append(job)
    assert taken
    assert {job.recipe for job in taken} == {"1"}
    assert claim(catalogue, f"1+{Family.VAAPI}") is None
    needing = claim(catalogue, NVENC)
    assert needing is not None
    assert needing.payload["rungs"] == ["720p"]


def test_a_failed_card_s_renditions_are_made_anew_under_other_names(catalogue: SqlCatalogue) -> None:
    video, plan = an_accelerated_video(catalogue)
    asset_id = catalogue.video(video).asset
    first, second = claim(catalogue, NVENC), claim(catalogue, NVENC)
    assert first is not None
    assert second is not None
    catalogue.commit(first.id, first.token, an_encoded({"720p": (0,)}))
    catalogue.commit(second.id, second.token, on_cpu(plan, Lane.STANDARD, "device_lost"))
    asset = catalogue.asset(asset_id)
    assert [row.name for row in asset.renditions] == ["240p", "480p", "720p-cpu"]
    assert [row.segments for row in asset.renditions] == [(), (), ()]
    assert asset.plan is not None
    assert [rung.encoder for rung in asset.plan.ladder.rungs] == [Encoder.X264] * 3
    assert asset.plan.ladder.fast_start == plan.ladder.fast_start
    assert claim(catalogue, NVENC) is None
    waiting = [job for job in catalogue.jobs(video=video, state=JobState.READY) if job.kind is JobKind.ENCODE]
    anew = [job.payload["chunk"] for job in waiting if job.payload["rungs"] == ["720p-cpu"]]
    assert sorted(anew) == [chunk.index for chunk in plan.chunks]
    assert {job.recipe for job in waiting} == {"1"}


def test_others_that_still_use_the_card_lose_their_lease(catalogue: SqlCatalogue) -> None:
    _, plan = an_accelerated_video(catalogue)
    first, second = claim(catalogue, NVENC), claim(catalogue, NVENC)
    assert first is not None
    assert second is not None
    catalogue.commit(first.id, first.token, on_cpu(plan, Lane.STANDARD, "session_limit"))
    with pytest.raises(StaleLease):
        catalogue.commit(second.id, second.token, an_encoded({"720p": (1,)}))


def test_what_hardware_made_is_published_by_any_worker(catalogue: SqlCatalogue) -> None:
    an_accelerated_video(catalogue)
    job = claim(catalogue, NVENC)
    assert job is not None
    catalogue.commit(job.id, job.token, an_encoded({"720p": (0,)}))
    assert take(catalogue, JobKind.PUBLISH).recipe == "1"
