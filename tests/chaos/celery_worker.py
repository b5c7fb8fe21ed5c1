"""A Celery worker for the chaos runs: ``celery -A tests.chaos.celery_worker worker``, made of the parts of
`tests.chaos.worker`.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.chaos.worker import compose, settings
from workers.celery import create_worker_app

_folder = Path(os.environ["LADDER_TEST_FOLDER"])

app = create_worker_app(
    lambda: compose(_folder), broker_url=os.environ["LADDER_TEST_BROKER"], settings=settings(_folder)
)
