"""Connections to PostgreSQL that wait for nothing for ever: neither we for the server, nor the server for us.

Networks fall silent without a word, and machines freeze with their connections open. Whoever waits for such a peer holds
locks that everybody else waits for, so both sides give up.
"""

from __future__ import annotations

import contextlib
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.abc import PQGen
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")

ANSWER_WITHIN_S = 45.0
"""How long we wait for the answer to one statement. Ours take milliseconds; only migrations take longer."""

SETTINGS = {
    # A client that fell silent inside a transaction holds the locks of a video.
    "idle_in_transaction_session_timeout": "10s",
    # Waits for such a lock must not add up to a queue in which everybody's lease runs out.
    "lock_timeout": "15s",
    # A client that is gone is noticed also while its statement waits or works.
    "client_connection_check_interval": "5s",
}

NETWORK: dict[str, Any] = {
    # A peer that went away without a word is given up after half a minute, not after the kernel's quarter of an hour.
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class PatientConnection(psycopg.Connection[Any]):
    """Waits ``answer_within_s`` for an answer, then closes itself: what was asked may or may not have been done."""

    answer_within_s: float | None = None

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.answer_within_s if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                # Still waiting: nothing more can be asked here, not even to roll back.
                self.pgconn.finish()
            raise


def prepare(engine: sa.Engine, *, patient: bool) -> None:
    """Give every connection of ``engine`` its limits; ``patient`` leaves out those that long statements would hit."""
    settings = {} if patient else SETTINGS

    @sa.event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _entry: object, args: list[Any], options: dict[str, Any]) -> PatientConnection:
        connection = PatientConnection.connect(*args, **{**NETWORK, **options})
        connection.answer_within_s = None if patient else ANSWER_WITHIN_S
        return connection

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        with contextlib.closing(connection.cursor()) as cursor:
            for name, value in settings.items():
                cursor.execute(f"SET {name} = '{value}'")
        connection.commit()
