"""Settings: what the environment may say, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import Configured, LogFormat, Settings, StoreKind, show, to_env
from storage.errors import InvalidRequest
from storage.jobs import LANES_BY_URGENCY, Lane


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_env({})
    assert settings.host == "127.0.0.1"
    assert (settings.upload_api_port, settings.origin_port) == (8080, 8081)
    assert settings.lanes == LANES_BY_URGENCY
    assert settings.public_url == "http://127.0.0.1:8080"


def test_defaults_follow_the_settings_they_are_derived_from() -> None:
    settings = Settings.from_env({"FISHLADDER_STATE_DIR": "/srv/ladder", "FISHLADDER_UPLOAD_API_PORT": "9000"})
    assert settings.database_url == "sqlite:////srv/ladder/catalogue.sqlite3"
    assert settings.local_store_dir == Path("/srv/ladder/objects")
    assert settings.public_url == "http://127.0.0.1:9000"


def test_texts_become_values_of_their_type() -> None:
    settings = Settings.from_env(
        {
            "FISHLADDER_STORE": "s3",
            "FISHLADDER_LANES": "bulk, playable",
            "FISHLADDER_TRUSTED_PROXIES": "10.0.0.0/8,::1",
            "FISHLADDER_LEASE_MS": "5000",
            "FISHLADDER_FFMPEG": "/opt/ffmpeg",
            "FISHLADDER_S3_ENDPOINT": "",
        }
    )
    assert settings.store is StoreKind.S3
    assert settings.lanes == (Lane.BULK, Lane.PLAYABLE)
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")
    assert settings.lease_ms == 5000
    assert settings.ffmpeg == Path("/opt/ffmpeg")
    assert settings.s3_endpoint is None


def test_an_unknown_variable_is_refused_and_the_nearest_one_named() -> None:
    with pytest.raises(
        InvalidRequest, match=r"no setting FISHLADDER_DATABSE_URL\. Did you mean FISHLADDER_DATABASE_URL\?"
    ):
        Settings.from_env({"FISHLADDER_DATABSE_URL": "sqlite://"})


def test_variables_of_others_are_none_of_our_business() -> None:
    Settings.from_env({"PATH": "/bin", "LADDER_TEST_THING": "1"})


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"FISHLADDER_LEASE_MS": "soon"}, "FISHLADDER_LEASE_MS is 'soon', but must be a whole number"),
        ({"FISHLADDER_STORE": "tape"}, "must be one of s3, local"),
        ({"FISHLADDER_LANES": "fast"}, "must be one of playable, interactive, standard, bulk"),
        ({"FISHLADDER_LANES": ","}, "names no lane"),
        ({"FISHLADDER_ORIGIN_PORT": "70000"}, "must be a port"),
        ({"FISHLADDER_LEASE_MS": "0"}, "must be at least 1"),
        ({"FISHLADDER_AUDIT_HOURS": "0"}, "must be at least 1"),
        ({"FISHLADDER_WORKERS": "-1"}, "must not be negative"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_a_sentence(env: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        Settings.from_env(env)


def test_settings_survive_the_way_through_a_child_s_environment() -> None:
    settings = Settings.from_env(
        {"FISHLADDER_LANES": "bulk", "FISHLADDER_LOG_FORMAT": "json", "FISHLADDER_WORKER_PORT": "9100"}
    )
    assert settings.log_format is LogFormat.JSON
    assert Settings.from_env(to_env(settings)) == settings


def test_shown_settings_tell_their_origin_and_hide_secrets() -> None:
    env = {
        "FISHLADDER_DATABASE_URL": "postgresql+psycopg://ladder:hunter2@db.example:5432/ladder",
        "FISHLADDER_S3_SECRET_KEY": "hunter3",
        "FISHLADDER_HOST": "0.0.0.0",
    }
    shown = {one.name: one for one in show(Configured.from_env(env))}
    assert shown["database_url"].value == "postgresql+psycopg://ladder:********@db.example:5432/ladder"
    assert shown["s3_secret_key"].value == "********"
    assert shown["host"].origin == "environment"
    assert shown["origin_port"].origin == "default"
    assert not [one for one in shown.values() if "hunter" in str(one)]


def test_every_setting_is_documented_in_one_line() -> None:
    for one in show(Configured.from_env({})):
        assert one.doc, one.name
        assert "\n" not in one.doc
        assert one.type
