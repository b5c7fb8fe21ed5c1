"""Fair turns: deadlines of jobs, virtual times of tenants, shares of lanes; ready jobs are found by lane and tenant."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0002_fair_turns"
down_revision = "0001"
branch_labels = None
depends_on = None

READY = sa.text("state = 'ready'")


def upgrade() -> None:
    op.create_table(
        "tenant_turns",
        Column("tenant", sa.String(64), nullable=False),
        Column("virtual_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name="pk_tenant_turns"),
    )
    op.create_table(
        "lane_turns",
        Column("lane", sa.String(32), nullable=False),
        Column("used_cpu_ms", sa.Float(), nullable=False),
        Column("virtual_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", name="pk_lane_turns"),
    )
    op.drop_index("ix_jobs_ready", "jobs")
    op.add_column("jobs", Column("due_at_ms", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    # What waits already keeps its order: by age, then position.
    op.execute("UPDATE jobs SET due_at_ms = created_at_ms + position")
    _index_ready("urgency", "tenant", "due_at_ms", "position", "created_at_ms", "id")


def downgrade() -> None:
    op.drop_index("ix_jobs_ready", "jobs")
    op.drop_column("jobs", "due_at_ms")
    _index_ready("urgency", "position", "created_at_ms", "id")
    op.drop_table("lane_turns")
    op.drop_table("tenant_turns")


def _index_ready(*columns: str) -> None:
    op.create_index("ix_jobs_ready", "jobs", list(columns), sqlite_where=READY, postgresql_where=READY)
