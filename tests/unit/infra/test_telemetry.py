"""Logs: one JSON line per event, whoever wrote it, and no secrets in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from infra.settings import LogFormat, LogLevel
from infra.telemetry import configure_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logging of this process goes here; afterwards it is as before."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    written = io.StringIO()
    configure_logging(LogLevel.INFO, LogFormat.JSON, service="test", stream=written)
    yield written
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    root.handlers[:], root.level = before


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_carries_what_was_bound(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(video_id="v1", attempt=2):
        structlog.get_logger("workers.runner").info("chunk_encoded", chunk=3)
    (line,) = lines(stream)
    assert line["event"] == "chunk_encoded"
    assert (line["video_id"], line["attempt"], line["chunk"]) == ("v1", 2, 3)
    assert (line["service"], line["level"], line["logger"]) == ("test", "info", "workers.runner")


def test_the_standard_library_s_logging_is_routed_in(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("told %s", "so")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("told so", "warning", "uvicorn.error")


def test_less_urgent_lines_are_not_written(stream: io.StringIO) -> None:
    structlog.get_logger("x").debug("detail")
    logging.getLogger("botocore.endpoint").info("talk")
    assert lines(stream) == []


def test_exceptions_are_text_in_the_same_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("no good")
    except ValueError:
        structlog.get_logger("x").exception("turn_failed")
    (line,) = lines(stream)
    assert "ValueError: no good" in line["exception"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("secret_key", "hunter2"),
        ("url", "redis://:hunter2@127.0.0.1:1/0"),
        ("url", "https://b.example/o?X-Amz-Signature=hunter2&x=1"),
        ("path", "/files/hunter2hunter2hunter2hunter2"),
        ("path", "/uploads/hunter2hunter2hunter2hunter2"),
        ("path", "/t/main.hunter2hunter2/v/abc/master.m3u8"),
        ("line", "GET /v/abc/keys/1?CMCD=x&token=hunter2 HTTP/1.1"),
        ("query", "start=3&token=hunter2"),
        ("said", "the key fl_live_0123456789_hunter2hunter2 is unknown"),
        ("said", "the grant fl_grant_eyJh.hunter2hunter2 is over"),
        ("argv", ["curl", "https://user:hunter2@example.org/"]),
        ("env", {"S3_SECRET": "hunter2"}),
    ],
)
def test_secrets_never_reach_a_line(stream: io.StringIO, field: str, value: object) -> None:
    structlog.get_logger("x").info("event", **{field: value})
    assert "event" in stream.getvalue()
    assert "hunter2hunter2" not in stream.getvalue()
    assert "hunter2" not in stream.getvalue().replace("/files/hunter", "").replace("/uploads/hunter", "")
