"""Keys and quotas from the command line, and when a server refuses to start."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from infra.cli.app import main
from infra.composition import open_catalogue
from infra.serve_upload_api import check_access, upload_api_settings
from infra.settings import Access, Configured, Settings
from infra.stack.plan import Asked, plan_stack
from storage.access import NewKey, Scope, new_token, parse_token
from storage.catalogue.migrations import migrate
from storage.catalogue.sql import SqlCatalogue
from storage.errors import CatalogueUnavailable, InvalidRequest
from storage.ids import DEFAULT_TENANT, TenantId
from storage.quotas import Limits
from tests.builders import a_new_upload

SIGNING = ("main:" + "5ea1" * 16,)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder whose database is there."""
    monkeypatch.setenv("FISHLADDER_STATE_DIR", str(tmp_path))
    migrate(Settings.from_env({"FISHLADDER_STATE_DIR": str(tmp_path)}).database_url)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fishladder", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.usefixtures("state")
def test_a_key_is_made_listed_and_revoked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "keys", "list") == 0
    assert "no keys yet" in capsys.readouterr().out
    made = ("keys", "create", "--name", "backend", "--tenant", "acme", "--scopes", "upload, read", "--days", "1")
    assert run(monkeypatch, *made) == 0
    token = parse_token(capsys.readouterr().out.strip())
    assert token is not None
    assert run(monkeypatch, "keys", "list", "--json") == 0
    told = capsys.readouterr().out
    (listed,) = json.loads(told)
    assert (listed["id"], listed["tenant"], listed["scopes"]) == (token.id, "acme", ["read", "upload"])
    assert listed["state"].startswith("good until")
    assert token.secret not in told
    assert run(monkeypatch, "keys", "revoke", token.id) == 0
    assert run(monkeypatch, "keys", "list", "--tenant", "acme") == 0
    assert "revoked" in capsys.readouterr().out
    assert run(monkeypatch, "keys", "list", "--tenant", "other") == 0
    assert "no keys yet" in capsys.readouterr().out


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "create", "--name", "x", "--scopes", "root"),
        ("keys", "create", "--name", "x", "--scopes", ","),
        ("keys", "create", "--name", " "),
        ("keys", "create", "--name", "x", "--tenant", "A B"),
        ("keys", "revoke", "nothing"),
        ("quotas", "set", "acme", "--bytes", "lots"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_refused_with_a_sentence(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *arguments) == 1
    assert capsys.readouterr().err.strip().endswith(".")


def test_quotas_are_set_and_shown(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "quotas", "set", "acme", "--bytes", "2Ti", "--uploads", "20") == 0
    assert "0 of 2,199,023,255,552 bytes" in capsys.readouterr().out
    catalogue = open_catalogue(
        Settings.from_env({"FISHLADDER_STATE_DIR": str(state), "FISHLADDER_TENANT_MAX_MINUTES": "9"})
    )
    assert catalogue.limits(TenantId("acme")) == Limits(stored_bytes=2 * 2**40, open_uploads=20, minutes=9)
    catalogue.create_upload(a_new_upload())
    catalogue.close()
    assert run(monkeypatch, "quotas", "show", "--json") == 0
    shown = {one["tenant"]: one for one in json.loads(capsys.readouterr().out)}
    assert shown["default"]["open_uploads"] == 1
    assert shown["acme"]["limits"] == {"stored_bytes": 2 * 2**40, "open_uploads": 20, "minutes": None}


# --- when a server starts --------------------------------------------------------------------------------------------


def test_a_fleet_does_not_start_without_keys_and_says_what_to_do() -> None:
    settings, catalogue = Settings.from_env({}), SqlCatalogue.in_memory()
    assert settings.access is Access.KEYS
    with pytest.raises(InvalidRequest, match=r"openssl rand -hex 32.*FISHLADDER_ACCESS=open"):
        check_access(settings, catalogue)
    settings = dataclasses.replace(settings, signing_keys=SIGNING)
    with pytest.raises(InvalidRequest, match="fishladder keys create"):
        check_access(settings, catalogue)
    catalogue.create_key(NewKey(tenant=DEFAULT_TENANT, name="x", scopes=(Scope.ADMIN,)), new_token())
    check_access(settings, catalogue)
    assert upload_api_settings(settings).needs_key
    catalogue.close()


def test_whoever_wants_an_open_house_says_so() -> None:
    settings, catalogue = dataclasses.replace(Settings.from_env({}), access=Access.OPEN), SqlCatalogue.in_memory()
    check_access(settings, catalogue)
    assert not upload_api_settings(settings).needs_key
    assert upload_api_settings(settings).rate_limits == ()
    catalogue.close()


def test_a_database_that_comes_up_later_keeps_nobody_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = SqlCatalogue.in_memory()

    def refuse() -> bool:
        raise CatalogueUnavailable

    monkeypatch.setattr(catalogue, "has_good_keys", refuse)
    check_access(dataclasses.replace(Settings.from_env({}), signing_keys=SIGNING), catalogue)
    catalogue.close()


@pytest.mark.parametrize(
    ("env", "host", "access", "warned"),
    [
        ({}, None, Access.OPEN, False),
        ({}, "0.0.0.0", Access.OPEN, True),
        ({"FISHLADDER_ACCESS": "keys"}, "0.0.0.0", Access.KEYS, False),
    ],
)
def test_a_stack_on_ones_own_machine_asks_nobody(
    env: dict[str, str], host: str | None, access: Access, warned: bool
) -> None:
    plan = plan_stack(
        Configured.from_env(env), Asked(host=host), remembered_store=None, weed=True, cpus=2, address="192.0.2.7"
    )
    assert plan.settings.access is access
    assert any("upload and delete" in note for note in plan.notes) is warned


@pytest.mark.parametrize("keys", ["main", "main:xyz", "main:abcd", ":" + "ab" * 32])
def test_signing_keys_that_are_none_are_refused(keys: str) -> None:
    with pytest.raises(InvalidRequest, match="FISHLADDER_SIGNING_KEYS"):
        Settings.from_env({"FISHLADDER_SIGNING_KEYS": keys})
