"""The schema's history (Alembic) and the programmatic way to apply it.

A new step: change `storage.catalogue.sql.tables`, then write ``versions/NNNN_what.py``; the tests say whether the two
agree, on both dialects, up and down. Expand first and contract in a later release: old and new processes run side by
side during a deployment.
"""

from __future__ import annotations

from storage.catalogue.sql.schema import downgrade, migrate, schema_is_current

__all__ = ["downgrade", "migrate", "schema_is_current"]
