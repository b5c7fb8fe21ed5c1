"""The schema: its history leads to the tables, up and down, and its indexes carry the queries that must be fast."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from storage.catalogue.migrations import downgrade, migrate, schema_is_current
from storage.catalogue.sql import SqlCatalogue
from storage.catalogue.sql.engine import open_engine
from storage.catalogue.sql.queueing import ready_publish
from storage.catalogue.sql.tables import jobs, metadata
from storage.catalogue.sql.turns import best_of, waiting_tenants
from storage.errors import CatalogueUnavailable
from storage.ids import DEFAULT_TENANT
from storage.jobs import LANES_BY_URGENCY, JobState, Lane
from tests.builders import a_new_job, an_inspected
from tests.journeys import an_encoding_video


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server = open_engine(request.getfixturevalue("postgres_url"))
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("CREATE DATABASE empty"))
        yield server.url.set(database="empty").render_as_string(hide_password=False)
        connection.execute(sa.text("DROP DATABASE empty WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def engine(empty_url: str) -> Iterator[sa.Engine]:
    engine = open_engine(empty_url)
    yield engine
    engine.dispose()


def test_migrations_lead_to_the_tables_exactly(empty_url: str, engine: sa.Engine) -> None:
    migrate(empty_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrations_go_down_to_nothing_and_up_again(empty_url: str, engine: sa.Engine) -> None:
    for _ in range(2):
        migrate(empty_url)
        assert set(metadata.tables) < set(sa.inspect(engine).get_table_names())
        downgrade(empty_url, "base")
        assert sa.inspect(engine).get_table_names() == ["alembic_version"]


def test_migrating_again_changes_nothing(empty_url: str, engine: sa.Engine) -> None:
    migrate(empty_url)
    catalogue = SqlCatalogue.open(empty_url)
    video = an_encoding_video(catalogue)
    migrate(empty_url)
    assert schema_is_current(engine)
    assert catalogue.video(video).id == video
    catalogue.close()


def test_processes_that_migrate_at_once_wait_for_each_other(empty_url: str, engine: sa.Engine) -> None:
    start = threading.Barrier(3)

    def run() -> None:
        start.wait()
        migrate(empty_url)

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(run) for _ in range(3)]:
            future.result()
    assert schema_is_current(engine)


def test_a_catalogue_without_its_schema_says_so(empty_url: str, engine: sa.Engine) -> None:
    catalogue = SqlCatalogue.open(empty_url)
    assert not schema_is_current(engine)
    with pytest.raises(CatalogueUnavailable, match="migrate"):
        catalogue.check()
    migrate(empty_url)
    catalogue.check()
    catalogue.close()


def test_a_catalogue_in_memory_is_at_head() -> None:
    catalogue = SqlCatalogue.in_memory()
    catalogue.check()
    catalogue.close()


def test_sqlite_finds_the_ready_publish_job_among_thousands_of_jobs_of_a_video() -> None:
    """Every commit asks for it, and nobody makes statistics for SQLite."""
    catalogue = SqlCatalogue.in_memory()
    query = str(ready_publish("sqlite"))
    with catalogue._db.engine.connect() as connection:
        plan = str(connection.execute(sa.text(f"EXPLAIN QUERY PLAN {query}"), {"video": "v"}).all())
    catalogue.close()
    assert "uq_jobs_ready_publish" in plan, plan


@pytest.mark.parametrize("part", ["whose turn", "which job"])
def test_a_claim_walks_the_index_of_ready_jobs(empty_url: str, engine: sa.Engine, part: str) -> None:
    migrate(empty_url)
    catalogue = SqlCatalogue.open(empty_url)
    video = an_encoding_video(catalogue, an_inspected(jobs=(a_new_job(),)))
    _fill_with_done_jobs(engine, video, 3000)
    urgency = LANES_BY_URGENCY.index(Lane.STANDARD)
    best = best_of(False).params(now=catalogue.now_ms(), urgency=urgency, tenant=DEFAULT_TENANT)
    catalogue.close()
    query = waiting_tenants(Lane.STANDARD) if part == "whose turn" else best
    compiled = query.compile(engine, compile_kwargs={"literal_binds": True, "render_postcompile": True})
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with engine.connect() as connection:
        connection.execute(sa.text("ANALYZE"))
        plan = "\n".join(str(row) for row in connection.exec_driver_sql(f"{explain} {compiled}".replace("%", "%%")))
    assert "ix_jobs_ready" in plan, plan
    assert "SCAN jobs\n" not in plan + "\n", plan
    assert "Seq Scan on jobs" not in plan, plan
    assert "TEMP B-TREE" not in plan, plan


def _fill_with_done_jobs(engine: sa.Engine, video: str, count: int) -> None:
    with engine.begin() as connection:
        (job,) = connection.execute(sa.select(jobs).where(jobs.c.state == JobState.READY)).mappings()
        done = [dict(job) | {"id": f"done{number}", "state": JobState.DONE} for number in range(count)]
        connection.execute(sa.insert(jobs), done)
