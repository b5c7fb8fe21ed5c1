"""The Celery application of this deployment: ``celery -A infra.celery_app worker -Q playable,interactive …``.

An entry point: importing it reads the environment. `fishladder work` wraps exactly this.
"""

from __future__ import annotations

import os

from celery.signals import setup_logging

from infra.composition import runner_parts, worker_settings
from infra.settings import Settings
from infra.telemetry import configure_logging
from storage.errors import InvalidRequest
from workers.celery import create_worker_app

_settings = Settings.from_env(os.environ)
if not _settings.broker_url:
    raise InvalidRequest("FISHLADDER_BROKER_URL is not set: a worker needs a broker that rings for it.")


configure_logging(_settings.log_level, _settings.log_format, service="worker")


@setup_logging.connect(weak=False)
def _keep_our_logging(**_: object) -> None:
    """Celery leaves logging alone where somebody answers this signal."""


celery_app = create_worker_app(
    lambda: runner_parts(_settings),
    broker_url=_settings.broker_url,
    settings=worker_settings(_settings),
    gpu=_settings.gpu is not None,
)
