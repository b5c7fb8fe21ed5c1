"""Engines, transactions and the database's clock.

Two dialects, one way of working: a reading transaction sees one snapshot, a writing transaction has the right to write
from its first statement. Foreign exceptions are translated here and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as on_postgresql
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from storage.catalogue.sql.tables import events, storable
from storage.errors import CatalogueUnavailable, NoRoom

BUSY_TIMEOUT_MS = 15_000
"""How long a SQLite writer waits for another. Its busy handler is not fair: under four writers the slowest of a hundred
waits for seconds."""

_WRITES = "catalogue_writes"
_EVENT_ORDER_LOCK = 0x66697368
_BUSY_RETRY_S = 1.0


class now_ms(FunctionElement[int]):  # noqa: N801 - reads as the SQL function it is
    """Milliseconds since the epoch on the database's clock."""

    inherit_cache = True
    type = sa.BigInteger()


@compiles(now_ms, "sqlite")
def _sqlite_now_ms(element: now_ms, compiler: SQLCompiler, **options: Any) -> str:
    # `unixepoch('subsec')` came with SQLite 3.42; a Julian day holds milliseconds well enough.
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(now_ms, "postgresql")
def _postgresql_now_ms(element: now_ms, compiler: SQLCompiler, **options: Any) -> str:
    # Not `now()`: that one stands still while a transaction waits for a lock.
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingEvent:
    tenant: str
    video: str
    kind: str
    data: dict[str, Any]


def upsert(dialect: str, table: sa.Table) -> on_postgresql.Insert | sqlite.Insert:
    """An INSERT of this dialect, which can say what to do on conflict."""
    return on_postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


class Transaction:
    """A connection inside a transaction, its time, and the events to be written at its end."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self._pending: list[PendingEvent] = []

    @cached_property
    def now(self) -> int:
        """One time for all that this transaction writes: when it was first asked for, on the database's clock."""
        return self.connection.execute(sa.select(now_ms())).scalar_one()

    def told_time(self, now_ms: int) -> None:
        """Another statement has asked for the time by the way."""
        self.__dict__.setdefault("now", now_ms)

    def execute(self, statement: sa.Executable, rows: list[dict[str, Any]] | None = None) -> sa.CursorResult[Any]:
        return self.connection.execute(statement, rows)

    def first(self, statement: sa.Select[Any], **values: Any) -> sa.Row[Any] | None:
        """``values``: of the parameters of a statement that was built once; building one costs more than running it."""
        return self.connection.execute(statement, values or None).first()

    def all(self, statement: sa.Select[Any], **values: Any) -> list[sa.Row[Any]]:
        return list(self.connection.execute(statement, values or None).all())

    def scalar(self, statement: sa.Select[Any] | sa.TextClause, **values: Any) -> Any:
        return self.connection.scalar(statement, values or None)

    def changed(self, statement: sa.Update | sa.Delete, **values: Any) -> int:
        """How many rows ``statement`` changed: the answer of a compare-and-set."""
        return self.connection.execute(statement, values or None).rowcount

    def insert(self, table: sa.Table) -> on_postgresql.Insert | sqlite.Insert:
        """An INSERT that can say what to do on conflict."""
        return upsert(self.connection.dialect.name, table)

    def announce(self, video: sa.Row[Any], kind: str, data: dict[str, Any]) -> None:
        """Tell the watchers of ``video`` when this transaction commits."""
        self._pending.append(PendingEvent(tenant=video.tenant, video=video.id, kind=kind, data=data))

    def flush_events(self) -> None:
        """Write the announced events. Readers follow them by id, so ids must become visible in order: PostgreSQL hands
        them out before the commit, hence one writer at a time from here to the commit. It is the last lock taken."""
        if not self._pending:
            return
        if self.connection.dialect.name == "postgresql":
            self.connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_EVENT_ORDER_LOCK)))
        self.connection.execute(
            sa.insert(events),
            [
                {"tenant": it.tenant, "video_id": it.video, "kind": it.kind, "data": it.data, "at_ms": self.now}
                for it in self._pending
            ],
        )


class Database:
    """An engine with its two kinds of transactions. Safe to use from many threads; not across a fork."""

    def __init__(self, engine: sa.Engine, *, shared_connection: bool = False) -> None:
        self.engine = engine
        self._gate: AbstractContextManager[object] = threading.Lock() if shared_connection else nullcontext()
        self._writer = engine.execution_options(**{_WRITES: True})
        self._reader = engine
        if engine.dialect.name == "postgresql":
            # One snapshot over all statements of a read, as SQLite gives it anyway.
            self._reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        with self._gate, translated_errors(), self._reader.connect() as connection, connection.begin():
            yield Transaction(connection)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Commits at the end of the block, or rolls everything back if it raises."""
        with self._gate, translated_errors(), self._writer.connect() as connection, connection.begin():
            transaction = Transaction(connection)
            yield transaction
            transaction.flush_events()

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def translated_errors() -> Iterator[None]:
    """`CatalogueUnavailable` (or `NoRoom`) in place of what the drivers raise when it is worth trying again. Other
    driver errors are bugs of ours and stay what they are."""
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise CatalogueUnavailable(
            "All connections to the database are in use.", retry_after_s=_BUSY_RETRY_S
        ) from error
    except sa.exc.DBAPIError as error:
        if _is_disk_full(error):
            raise NoRoom("The database has no room left on its disk.") from error
        if isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError)) or error.connection_invalidated:
            raise CatalogueUnavailable(retry_after_s=_BUSY_RETRY_S) from error
        raise


def _is_disk_full(error: sa.exc.DBAPIError) -> bool:
    cause = error.orig
    return (
        getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(cause, "sqlstate", None) == "53100"
    )


def open_engine(
    url: str, *, pool_size: int = 10, max_overflow: int = 30, foreign_keys: bool = True, patient: bool = False
) -> sa.Engine:
    """An engine for ``sqlite:///file``, ``sqlite://`` (memory, one connection) or ``postgresql://…``. Connects lazily.
    ``patient``: for migrations, whose statements may take minutes."""
    target = _with_driver(sa.make_url(url))
    if target.get_backend_name() == "postgresql":
        from storage.catalogue.sql import postgresql  # its driver takes memory that SQLite does not need

        engine = sa.create_engine(
            target,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_pre_ping=True,  # a restarted server must not cost the next caller an error
            json_serializer=_json,
        )
        postgresql.prepare(engine, patient=patient)
        return engine
    if target.database in (None, "", ":memory:"):
        threads = {"check_same_thread": False}
        engine = sa.create_engine(target, poolclass=StaticPool, connect_args=threads, json_serializer=_json)
    else:
        engine = sa.create_engine(target, pool_size=pool_size, max_overflow=max_overflow, json_serializer=_json)
    _prepare_sqlite(engine, foreign_keys=foreign_keys)
    return engine


def _json(value: Any) -> str:
    text = json.dumps(value)
    return text if "\\u0000" not in text and "\\ud" not in text else json.dumps(_storable(value))


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): _storable(item) for key, item in value.items()}
    return value


def _with_driver(url: sa.URL) -> sa.URL:
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite":
        return url
    raise ValueError(f"the catalogue lives in SQLite or PostgreSQL, not {backend}")


def _prepare_sqlite(engine: sa.Engine, *, foreign_keys: bool) -> None:
    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by itself; `on_begin` does.
        connection.isolation_level = None
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            cursor.execute("PRAGMA journal_mode")
            if cursor.fetchone() not in (("wal",), ("memory",)):
                cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")  # NORMAL forgets the last commits in a power cut
            cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        # A transaction that reads first and writes later fails at once with SQLITE_BUSY in WAL mode, whatever the
        # timeout: so whoever may write says so at the beginning.
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
