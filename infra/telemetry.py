"""Logs: one structured line per event on standard error, from structlog and from the standard library alike.

Lines carry what was bound to the context (video, job, attempt), never a secret: whole upload ids, keys, passwords and the
query strings of signed URLs are masked whatever logged them.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, TextIO

import structlog

from infra.settings import LogFormat, LogLevel

_SECRET_FIELDS = re.compile(
    r"password|secret|token_value|authorization|cookie|credential|api_key|access_key", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]+@")
_SIGNED_QUERY = re.compile(r"\?[^\s\"']*(?:signature|x-amz-|token=|grant=)[^\s\"']*", re.IGNORECASE)
_UPLOAD_PATH = re.compile(r"(/(?:files|uploads)/[0-9a-z]{6})[0-9a-z]{10,}")
_TOKEN_PATH = re.compile(r"(/t/)[^/\s\"']{8,}")
_TOKEN = re.compile(r"\b(token=)[^&\s\"']+", re.IGNORECASE)
_KEY = re.compile(r"(fl_(?:live|grant)_[0-9A-Za-z_.\-]{4})[0-9A-Za-z_.\-]{8,}")

_TOO_TALKATIVE = (
    *("alembic", "asyncio", "amqp", "boto3", "botocore", "httpcore", "httpx", "kombu", "PIL", "s3transfer", "urllib3"),
    *("celery.app.trace", "celery.worker.strategy"),  # two lines for each bell; what it led to is told by the runner
)


def configure_logging(level: LogLevel, form: LogFormat, *, service: str, stream: TextIO | None = None) -> None:
    """Route all logging of this process to ``stream`` (default: standard error). Call once, in an entry point."""
    out = stream if stream is not None else sys.stderr
    pretty = form is LogFormat.PRETTY or (form is LogFormat.AUTO and out.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _named(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=out.isatty())]
        if pretty
        else [structlog.processors.format_exc_info, mask_secrets, structlog.processors.JSONRenderer()]
    )
    if pretty:
        last.insert(0, mask_secrets)
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _TOO_TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def mask_secrets(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """The last processor before rendering: replaces what must not be written."""
    return {key: "********" if _SECRET_FIELDS.search(key) else _mask(value) for key, value in event.items()}


def _mask(value: Any) -> Any:
    if isinstance(value, str):
        value = _URL_PASSWORD.sub(r"\1:********@", value)
        value = _SIGNED_QUERY.sub("?********", value)
        value = _TOKEN_PATH.sub(r"\1********", value)
        value = _TOKEN.sub(r"\1********", value)
        value = _KEY.sub(r"\1…", value)
        return _UPLOAD_PATH.sub(r"\1…", value)
    if isinstance(value, dict):
        return mask_secrets(None, "", value)
    if isinstance(value, (list, tuple)):
        return [_mask(item) for item in value]
    return value


def _named(service: str) -> Any:
    def add_service(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event["service"] = service
        return event

    return add_service
