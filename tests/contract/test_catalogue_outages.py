"""Databases that do not answer: what callers see is ours, and worth trying again."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.catalogue.migrations import migrate
from storage.catalogue.sql import SqlCatalogue, engine
from storage.catalogue.sql.tables import leaders
from storage.errors import CatalogueUnavailable
from tests.builders import a_new_upload


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.db"
    migrate(f"sqlite:///{path}")
    return path


def test_a_database_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    for url in (
        f"sqlite:///{tmp_path / 'no such folder' / 'catalogue.db'}",
        f"postgresql://nobody@/nothing?host={tmp_path}",
    ):
        catalogue = SqlCatalogue.open(url)
        with pytest.raises(CatalogueUnavailable):
            catalogue.check()
        with pytest.raises(CatalogueUnavailable):
            catalogue.create_upload(a_new_upload())
        catalogue.close()


def test_only_databases_that_we_know_are_opened() -> None:
    with pytest.raises(ValueError, match="SQLite or PostgreSQL"):
        SqlCatalogue.open("mysql://localhost/catalogue")


def test_sqlite_is_opened_so_that_a_power_cut_loses_nothing(sqlite_file: Path) -> None:
    opened = engine.open_engine(f"sqlite:///{sqlite_file}")
    with opened.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    opened.dispose()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 15_000}


def test_a_writer_that_waits_too_long_may_try_again(sqlite_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 50)
    catalogue = SqlCatalogue.open(f"sqlite:///{sqlite_file}")
    other = sqlite3.connect(sqlite_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CatalogueUnavailable) as refusal:
        catalogue.create_upload(a_new_upload())
    assert refusal.value.retry_after_s is not None
    assert catalogue.last_event_id() == 0, "readers are not held up"
    other.execute("ROLLBACK")
    other.close()
    catalogue.create_upload(a_new_upload())
    catalogue.close()


def test_a_writer_waits_for_another_that_is_quick(sqlite_file: Path) -> None:
    catalogue = SqlCatalogue.open(f"sqlite:///{sqlite_file}")
    other = sqlite3.connect(sqlite_file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    quick = threading.Timer(0.2, other.execute, ("COMMIT",))
    quick.start()
    catalogue.create_upload(a_new_upload())
    quick.join()
    other.close()
    catalogue.close()


@pytest.mark.integration
def test_a_restarted_postgres_costs_the_next_caller_nothing(migrated_postgres_url: str) -> None:
    catalogue = SqlCatalogue.open(migrated_postgres_url)
    before = catalogue.now_ms()
    _terminate_all_others(migrated_postgres_url)
    assert catalogue.now_ms() >= before
    catalogue.close()


@pytest.mark.integration
def test_a_connection_lost_in_a_transaction_rolls_it_back(migrated_postgres_url: str) -> None:
    catalogue = SqlCatalogue.open(migrated_postgres_url)

    def interrupted() -> None:
        with catalogue._db.write() as tx:
            tx.execute(sa.insert(leaders).values(name="office", holder="somebody", until_ms=2**50))
            _terminate_all_others(migrated_postgres_url)
            tx.execute(sa.select(leaders))

    with pytest.raises(CatalogueUnavailable):
        interrupted()
    assert catalogue.lead("office", "somebody else", 1)
    catalogue.close()


def _terminate_all_others(url: str) -> None:
    opened = engine.open_engine(url)
    with opened.connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    opened.dispose()
