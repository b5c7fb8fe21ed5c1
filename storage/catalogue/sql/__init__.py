"""The catalogue in SQL: SQLite for one machine, PostgreSQL for a fleet. The only place that knows SQLAlchemy.

Values in, values out; each public method of `SqlCatalogue` is one transaction. `engine` has the transactions and the
clock, `tables` the schema, `moving` the one way in which videos change state; the other modules are the parts of the
port.
"""

from __future__ import annotations

from typing import Self

from storage.catalogue.sql.access import SqlAccess
from storage.catalogue.sql.audits import SqlAudits
from storage.catalogue.sql.commits import SqlCommits
from storage.catalogue.sql.content_keys import SqlContentKeys
from storage.catalogue.sql.engine import Database, open_engine
from storage.catalogue.sql.following import SqlFollowing
from storage.catalogue.sql.imports import SqlImports
from storage.catalogue.sql.jobs import SqlJobs
from storage.catalogue.sql.schema import create_schema, schema_is_current
from storage.catalogue.sql.segments import SegmentReader
from storage.catalogue.sql.showing import SqlShowing
from storage.catalogue.sql.subtitles import SqlSubtitles
from storage.catalogue.sql.sweeps import SqlSweeps
from storage.catalogue.sql.uploads import SqlUploads
from storage.catalogue.sql.videos import SqlVideos
from storage.catalogue.sql.viewing import SqlViewing
from storage.errors import CatalogueUnavailable
from storage.fairness import FairPolicy
from storage.quotas import Limits

__all__ = ["SqlCatalogue"]


class SqlCatalogue(
    SqlUploads,
    SqlImports,
    SqlVideos,
    SqlJobs,
    SqlCommits,
    SqlSweeps,
    SqlAudits,
    SqlFollowing,
    SqlViewing,
    SqlShowing,
    SqlSubtitles,
    SqlContentKeys,
    SqlAccess,
):
    """`storage.catalogue.Catalogue` over SQLAlchemy. Thread-safe. After a fork, open a new one in the child."""

    def __init__(
        self,
        database: Database,
        *,
        policy: FairPolicy | None = None,
        limits: Limits | None = None,
        deduplicates: bool = True,
    ) -> None:
        """``policy``: whose turn it is when a job is claimed. ``limits``: of tenants that have none of their own.
        ``deduplicates``: a file that its tenant uploaded before is recognised, not encoded again."""
        self._db = database
        self._policy = policy or FairPolicy()
        self._limits = limits or Limits()
        self._deduplicates = deduplicates
        self._segments = SegmentReader()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        pool_size: int = 10,
        max_overflow: int = 30,
        policy: FairPolicy | None = None,
        limits: Limits | None = None,
        deduplicates: bool = True,
    ) -> Self:
        """Over ``sqlite:///file`` or ``postgresql://…``, which `storage.catalogue.migrations.migrate` has brought to
        head. Connects on first use; `check` says whether it can be used."""
        database = Database(open_engine(url, pool_size=pool_size, max_overflow=max_overflow))
        return cls(database, policy=policy, limits=limits, deduplicates=deduplicates)

    @classmethod
    def in_memory(
        cls, *, policy: FairPolicy | None = None, limits: Limits | None = None, deduplicates: bool = True
    ) -> Self:
        """Empty, gone when closed. Its threads take turns on one connection."""
        engine = open_engine("sqlite://")
        create_schema(engine)
        return cls(Database(engine, shared_connection=True), policy=policy, limits=limits, deduplicates=deduplicates)

    def check(self) -> None:
        with self._db.read() as tx:
            current = schema_is_current(tx.connection)
        if not current:
            raise CatalogueUnavailable("The database's schema is not of this version: run `fishladder migrate`.")

    def now_ms(self) -> int:
        with self._db.read() as tx:
            return tx.now

    def close(self) -> None:
        self._db.close()
