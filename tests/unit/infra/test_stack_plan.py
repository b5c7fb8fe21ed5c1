"""What `up` decides before it starts anything."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from infra.serve_upload_api import upload_api_settings
from infra.settings import Configured, StoreKind
from infra.stack import parts
from infra.stack.embedded import settings_of
from infra.stack.plan import Asked, StackPlan, plan_stack
from infra.stack.state import StateDir, remember
from infra.stack.supervisor import Restart, RestartPolicy, decide_restart
from storage.errors import NotFound, Unavailable


def plan(env: dict[str, str] | None = None, asked: Asked | None = None, **facts: Any) -> StackPlan:
    defaults: dict[str, Any] = {"remembered_store": None, "weed": True, "cpus": 4, "address": "192.0.2.7"}
    return plan_stack(Configured.from_env(env or {}), asked or Asked(), **(defaults | facts))


def test_everything_is_embedded_by_default() -> None:
    made = plan()
    assert (made.valkey, made.seaweedfs, made.settings.store) == (True, True, StoreKind.S3)
    assert made.slots == 2
    assert made.notes == ()


def test_slots_follow_the_cpus_and_the_memory() -> None:
    """A chunk of 4K with all of its rungs takes gigabytes: eight of them do for two at once, however many CPUs there are."""
    of_memory = {gib: plan(cpus=32, memory_bytes=gib * 1024**3).slots for gib in (1, 4, 8, 16, 64)}
    assert of_memory == {1: 1, 4: 1, 8: 2, 16: 5, 64: 16}
    assert plan(cpus=4, memory_bytes=64 * 1024**3).slots == 2
    assert plan({"FISHLADDER_WORKERS": "3"}, cpus=4, memory_bytes=8 * 1024**3).slots == 3


def test_verbs_that_look_inside_find_the_parts_that_a_stack_started(tmp_path: Path) -> None:
    state = StateDir(root=tmp_path)
    remembered = remember(state, (*parts.VALKEY_PORTS, *parts.SEAWEEDFS_PORTS), StoreKind.S3)

    ours = settings_of({"FISHLADDER_SIGNING_KEYS": f"mine:{'ab' * 32}"}, tmp_path)
    assert (ours.store, ours.s3_secret_key) == (StoreKind.S3, remembered.s3_secret_key)
    assert str(remembered.ports["seaweedfs.s3"]) in (ours.s3_endpoint or "")
    assert str(remembered.ports["valkey"]) in ours.broker_url
    assert str(tmp_path) in ours.database_url
    assert [key.split(":")[0] for key in ours.signing_keys] == ["mine", "state"], "ours still verify what they signed"
    assert ours.sealing_keys == (f"state:{remembered.sealing_key}",)


def test_verbs_that_look_inside_follow_what_the_operator_names(tmp_path: Path) -> None:
    remember(StateDir(root=tmp_path), (*parts.VALKEY_PORTS, *parts.SEAWEEDFS_PORTS), StoreKind.S3)
    elsewhere = {"FISHLADDER_S3_ENDPOINT": "https://s3.example", "FISHLADDER_BROKER_URL": "redis://broker"}
    ours = settings_of(elsewhere, tmp_path)
    assert (ours.s3_endpoint, ours.broker_url) == ("https://s3.example", "redis://broker")

    a_fleet = {"FISHLADDER_STATE_DIR": str(tmp_path), "FISHLADDER_DATABASE_URL": "postgresql://db/fladder"}
    ours = settings_of(a_fleet)
    assert ours.database_url == "postgresql://db/fladder"
    assert ours.sealing_keys == (), "another system's folder says nothing about a fleet"


def test_who_looks_into_a_folder_that_is_not_there_makes_none(tmp_path: Path) -> None:
    missing = tmp_path / "typo"
    for env, state_dir in (({}, missing), ({"FISHLADDER_STATE_DIR": str(missing)}, None)):
        with pytest.raises(NotFound, match="typo"):
            settings_of(env, state_dir)
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_runs_elsewhere_is_not_started() -> None:
    made = plan({"FISHLADDER_BROKER_URL": "redis://broker", "FISHLADDER_S3_ENDPOINT": "https://s3.example"})
    assert (made.valkey, made.seaweedfs, made.settings.store) == (False, False, StoreKind.S3)


def test_without_a_build_of_seaweedfs_a_folder_takes_its_place_and_it_is_told() -> None:
    made = plan(weed=False)
    assert (made.seaweedfs, made.settings.store) == (False, StoreKind.LOCAL)
    assert "kept in a folder" in made.notes[0]
    with pytest.raises(Unavailable, match="--store local"):
        plan(asked=Asked(store=StoreKind.S3), weed=False)


def test_a_state_folder_keeps_its_store() -> None:
    assert plan(remembered_store="local").settings.store is StoreKind.LOCAL
    with pytest.raises(Unavailable, match="keeps its objects in the local store"):
        plan(asked=Asked(store=StoreKind.S3), remembered_store="local")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://192.0.2.7:8080"),
        ("::", "http://192.0.2.7:8080"),
        ("2001:db8::1", "http://[2001:db8::1]:8080"),
        ("studio.example", "http://studio.example:8080"),
    ],
)
def test_urls_are_ones_that_reach_us(host: str, url: str) -> None:
    assert plan(asked=Asked(host=host)).settings.public_url == url


def test_a_public_url_that_is_set_stays() -> None:
    made = plan({"FISHLADDER_PUBLIC_URL": "https://video.example"}, Asked(host="0.0.0.0"))
    assert made.settings.public_url == "https://video.example"
    assert made.settings.origin_url == "http://192.0.2.7:8081"


def test_restarts_wait_longer_each_time_and_deaths_are_forgiven() -> None:
    policy = RestartPolicy(first_s=1, longest_s=8, window_s=60, hopeless_after=3)
    assert decide_restart((100.0,), 100.0, policy) == Restart(delay_s=1, deaths=1, hopeless=False)
    assert decide_restart((99.0, 100.0), 100.0, policy) == Restart(delay_s=2, deaths=2, hopeless=False)
    assert decide_restart((98.0, 99.0, 100.0), 100.0, policy) == Restart(delay_s=4, deaths=3, hopeless=True)
    assert decide_restart(tuple(map(float, range(90, 101))), 100.0, policy).delay_s == 8
    assert decide_restart((10.0, 20.0, 100.0), 100.0, policy) == Restart(delay_s=1, deaths=1, hopeless=False)


def test_pages_of_others_may_act_only_where_a_key_is_needed_or_the_operator_says_so() -> None:
    assert plan().settings.cors_origins == ()
    assert plan({"FISHLADDER_ACCESS": "keys"}).settings.cors_origins == ("*",)
    assert plan({"FISHLADDER_ACCESS": "open"}).settings.cors_origins == ()
    assert plan({"FISHLADDER_CORS_ORIGINS": "https://app.test"}).settings.cors_origins == ("https://app.test",)
    assert plan({"FISHLADDER_CORS_ORIGINS": "*"}).settings.cors_origins == ("*",)


def test_an_open_house_knows_its_own_pages_by_every_name_of_the_machine() -> None:
    ours = upload_api_settings(plan().settings).allowed_origins
    machine = socket.gethostname().lower()
    assert {"http://localhost:8080", "http://127.0.0.1:8080", f"http://{machine}:8080"} <= set(ours)
    assert upload_api_settings(plan({"FISHLADDER_ACCESS": "keys"}).settings).allowed_origins == ("*",)
