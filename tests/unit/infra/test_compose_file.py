"""The Compose file: of the right shape, true to the settings and verbs, healthy, pinned, and ended gracefully."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.main import get_command

from infra.cli.app import app
from infra.settings import Settings

FOLDER = Path(__file__).parents[3] / "infra" / "compose"
OURS = ("migrate", "upload-api", "origin", "workers", "workers-playable")
RUNNING = ("postgres", "valkey", "seaweedfs", *OURS[1:])

TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
DURATION = {"type": "string", "pattern": r"^\d+(ms|s|m)$"}
ENVIRONMENT = {
    "type": "object",
    "additionalProperties": {"type": "string"},
}  # a bare number or boolean is a trap of YAML
SERVICE = {
    "type": "object",
    "required": ["image", "restart"],
    "additionalProperties": False,
    "properties": {
        "image": {"type": "string", "pattern": "^[a-z0-9/]+:[a-z0-9.-]+$"},
        "build": {
            "type": "object",
            "required": ["context", "dockerfile"],
            "additionalProperties": False,
            "properties": {"context": {"type": "string"}, "dockerfile": {"type": "string"}},
        },
        "command": TEXTS,
        "init": {"type": "boolean"},
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "environment": ENVIRONMENT,
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["condition"],
                "additionalProperties": False,
                "properties": {
                    "condition": {"enum": ["service_started", "service_healthy", "service_completed_successfully"]}
                },
            },
        },
        "ports": {"type": "array", "items": {"type": "string", "pattern": r"^[\d.]+:\d+:\d+$"}},
        "volumes": {"type": "array", "items": {"type": "string", "pattern": r"^[a-z]+:/[a-z/]+$"}},
        "healthcheck": {
            "type": "object",
            "required": ["test", "interval", "timeout", "retries"],
            "additionalProperties": False,
            "properties": {
                "test": {**TEXTS, "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}]},
                "interval": DURATION,
                "timeout": DURATION,
                "start_period": DURATION,
                "retries": {"type": "integer", "minimum": 1},
            },
        },
        "stop_signal": {"type": "string", "pattern": "^SIG[A-Z]+$"},
        "stop_grace_period": DURATION,
    },
}
COMPOSE = {
    "type": "object",
    "required": ["name", "services", "volumes"],
    "additionalProperties": False,
    "patternProperties": {"^x-": {}},
    "properties": {
        "name": {"type": "string"},
        "services": {"type": "object", "additionalProperties": SERVICE},
        "volumes": {"type": "object", "additionalProperties": {"type": "null"}},
    },
}
"""What we use of the Compose specification, and no more: a misspelt key fails."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return loaded


def interpolated(text: str) -> str:
    """``text`` as Compose would have it with every variable set to ``given`` (the one that signs: to a key), or to its
    default."""

    def value(match: re.Match[str]) -> str:
        return match[2] or ("5ea1" * 16 if match[1] == "SIGNING_KEY" else "given")

    return re.sub(r"\$\{([A-Z0-9_]+)(?::-([^}]*)|:\?[^}]*)?\}", value, text)


def test_the_file_is_of_the_shape_that_compose_reads(compose: dict[str, Any]) -> None:
    jsonschema.validate(compose, COMPOSE)


def test_what_services_name_is_there(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", {})) <= set(compose["services"]), name
        assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= set(compose["volumes"]), name


def test_images_are_pinned_and_none_is_withdrawn(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert re.search(r":(\d+\.\d+|local)", service["image"]), service["image"]
        assert "minio" not in service["image"]


@pytest.mark.parametrize("name", RUNNING)
def test_every_running_service_is_probed_and_given_time_to_stop(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert "healthcheck" in service
    assert "stop_grace_period" in service
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_set_with_settings_that_exist(compose: dict[str, Any], name: str) -> None:
    environment = compose["services"][name]["environment"]
    settings = Settings.from_env({key: interpolated(value) for key, value in environment.items()})
    assert settings.database_url == "postgresql+psycopg://fishladder:given@postgres/fishladder"
    grace = compose["services"][name].get("stop_grace_period")
    assert grace is None or int(grace.removesuffix("s")) * 1000 > settings.drain_ms


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_verbs_that_exist(compose: dict[str, Any], name: str) -> None:
    command = get_command(app)
    arguments = list(compose["services"][name]["command"])
    while commands := getattr(command, "commands", None):
        command = commands[arguments.pop(0)]
    command.make_context(name, arguments)


def test_nothing_but_our_two_doors_is_open_and_those_on_loopback_only(compose: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {"upload-api": ["127.0.0.1:8080:8080"], "origin": ["127.0.0.1:8081:8081"]}


def test_every_password_that_is_needed_is_in_the_example(compose: dict[str, Any]) -> None:
    needed = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (FOLDER / "compose.yaml").read_text()))
    offered = set(re.findall(r"^([A-Z0-9_]+)=", (FOLDER / "example.env").read_text(), re.MULTILINE))
    assert needed == offered


def test_the_image_copies_every_room_and_runs_as_nobody_special() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    for room in ("storage", "packager", "workers", "upload_api", "origin", "infra"):
        assert f"COPY {room} {room}" in text
    assert text.index("USER fishladder") < text.index("ENTRYPOINT")
