"""Databases that do not answer: what callers see is ours, and worth trying again."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.catalogue.migrations import migrate
from storage.catalogue.sql import SqlCatalogue, engine, postgresql
from storage.catalogue.sql.tables import leaders
from storage.errors import CatalogueUnavailable
from tests.builders import a_new_upload
from tests.faults import Fault, FaultProxy, through, unix_socket


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


@pytest.mark.integration
def test_a_postgres_that_falls_silent_is_given_up(migrated_postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also inside a transaction, and also when the connection from the pool is only looked at."""
    monkeypatch.setattr(postgresql, "ANSWER_WITHIN_S", 0.5)
    with FaultProxy(unix_socket(migrated_postgres_url)) as proxy:
        catalogue = SqlCatalogue.open(through(migrated_postgres_url, proxy))
        catalogue.check()
        proxy.fault = Fault.DEAF
        with pytest.raises(CatalogueUnavailable):
            catalogue.lead("office", "somebody", 1000)
        proxy.fault = Fault.NONE

        def fell_silent() -> None:
            with catalogue._db.write() as tx:
                tx.execute(sa.select(leaders))
                proxy.fault = Fault.DEAF
                tx.execute(sa.select(leaders))

        with pytest.raises(CatalogueUnavailable):
            fell_silent()
        proxy.fault = Fault.NONE
        assert catalogue.now_ms() > 0
        catalogue.close()


@pytest.mark.integration
def test_postgres_does_not_wait_for_clients_that_hold_locks_and_say_nothing(
    migrated_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgresql.SETTINGS, "idle_in_transaction_session_timeout", "300ms")
    silent, other = SqlCatalogue.open(migrated_postgres_url), SqlCatalogue.open(migrated_postgres_url)
    lead = sa.insert(leaders).values(name="desk", holder="a silent one", until_ms=2**50)

    def fall_silent() -> None:
        with silent._db.write() as tx:
            tx.execute(lead)
            assert other.lead("desk", "another", 1000), "waits for the lock, gets it when the silent one is given up"

    with pytest.raises(CatalogueUnavailable):
        fall_silent()
    silent.close()
    other.close()


@pytest.mark.integration
def test_nobody_waits_for_a_lock_for_ever(migrated_postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgresql.SETTINGS, "lock_timeout", "300ms")
    slow, other = SqlCatalogue.open(migrated_postgres_url), SqlCatalogue.open(migrated_postgres_url)
    with slow._db.write() as tx:
        tx.execute(sa.insert(leaders).values(name="counter", holder="a slow one", until_ms=2**50))
        with pytest.raises(CatalogueUnavailable):
            other.lead("counter", "another", 1000)
    slow.close()
    other.close()
