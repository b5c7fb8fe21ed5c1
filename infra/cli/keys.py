"""``keys`` and ``quotas``: who may use the upload API, and how much. For operators: they look into the database itself, so
that the first key needs none."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from infra.cli.console import examples, note, out, print_json, say, table
from infra.cli.inside import Json, State, opened
from storage.access import ApiKey, NewKey, Scope, check_tenant, new_token
from storage.errors import InvalidRequest
from storage.ids import DEFAULT_TENANT, KeyId, TenantId
from storage.quotas import Limits

Tenant = Annotated[str, typer.Option(help="Whose it is; a tenant is there once it has a key.")]
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
ANY = "any"


def register(app: typer.Typer) -> None:
    keys = typer.Typer(help="API keys: who may use the upload API.", no_args_is_help=True)
    keys.command(
        "create",
        epilog=examples(
            "fishladder keys create --name admin --scopes admin",
            "fishladder keys create --name backend --tenant acme --scopes upload,read --days 90",
        ),
    )(create)
    keys.command("list", epilog=examples("fishladder keys list", "fishladder keys list --tenant acme --json"))(listing)
    keys.command("revoke", epilog=examples("fishladder keys revoke 8c2nrfz59ks4"))(revoke)
    app.add_typer(keys, name="keys", epilog=examples("fishladder keys create --name admin --scopes admin"))
    quotas = typer.Typer(help="What tenants have, and what they may have.", no_args_is_help=True)
    quotas.command("show", epilog=examples("fishladder quotas show", "fishladder quotas show --tenant acme"))(show)
    quotas.command("set", epilog=examples("fishladder quotas set acme --bytes 2T --uploads 20 --minutes 6000"))(
        set_limits
    )
    app.add_typer(quotas, name="quotas", epilog=examples("fishladder quotas show"))


def create(
    name: Annotated[str, typer.Option(help="For people: where it is used.")],
    tenant: Tenant = DEFAULT_TENANT,
    scopes: Annotated[
        str, typer.Option(help="What it opens, separated by commas: upload, read, manage, admin.")
    ] = "upload,read,manage",
    days: Annotated[float | None, typer.Option(min=0.001, help="How long it is good (default: for good).")] = None,
    state_dir: State = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once, now, and only its digest is kept."""
    new = NewKey(
        tenant=check_tenant(tenant),
        name=name,
        scopes=_scopes(scopes),
        expires_at_ms=None if days is None else int((time.time() + days * 86_400) * 1000),
    )
    token = new_token()
    with opened(state_dir) as catalogue:
        key = catalogue.create_key(new, token)
    if as_json:
        return print_json({"id": key.id, "tenant": key.tenant, "scopes": list(key.scopes), "token": token.text})
    note(f"A key of tenant {key.tenant} that opens {', '.join(key.scopes)}. It is not shown again:")
    say(token.text)
    return None


def listing(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    state_dir: State = None,
    as_json: Json = False,
) -> None:
    """List keys, without their secrets."""
    with opened(state_dir) as catalogue:
        keys, now_ms = catalogue.keys(None if tenant is None else check_tenant(tenant)), catalogue.now_ms()
    if as_json:
        return print_json([_record(key, now_ms) for key in keys])
    shown = table("Id", "Tenant", "Name", "Opens", "State", "Last used")
    for key in keys:
        used = "never" if key.last_used_at_ms is None else _moment(key.last_used_at_ms)
        shown.add_row(key.id, key.tenant, key.name, ", ".join(key.scopes), _state(key, now_ms), used)
    if keys:
        out.print(shown)
    else:
        say("There are no keys yet. `fishladder keys create --name admin --scopes admin` makes one.")
    return None


def revoke(key: Annotated[str, typer.Argument(help="Id of the key.")], state_dir: State = None) -> None:
    """Let a key open nothing any more, nor its sessions and grants. Uploads that it began go on to their end."""
    with opened(state_dir) as catalogue:
        revoked = catalogue.revoke_key(KeyId(key))
    say(f"{revoked.name} ({revoked.id}) of tenant {revoked.tenant} is revoked.")


def show(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    state_dir: State = None,
    as_json: Json = False,
) -> None:
    """Show what tenants have, and what they may have."""
    with opened(state_dir) as catalogue:
        tenants = catalogue.tenants() if tenant is None else (check_tenant(tenant),)
        found = [(one, catalogue.usage(one), catalogue.limits(one)) for one in tenants]
    if as_json:
        return print_json(
            [
                {
                    "tenant": one,
                    "stored_bytes": usage.stored_bytes,
                    "open_uploads": usage.open_uploads,
                    "minutes": round(usage.film_ms / 60_000, 2),
                    "limits": {
                        "stored_bytes": limits.stored_bytes,
                        "open_uploads": limits.open_uploads,
                        "minutes": limits.minutes,
                    },
                }
                for one, usage, limits in found
            ]
        )
    shown = table("Tenant", "Bytes", "Open uploads", "Minutes", ids=("Tenant",))
    for one, usage, limits in found:
        shown.add_row(
            one,
            _of(usage.stored_bytes, limits.stored_bytes),
            _of(usage.open_uploads, limits.open_uploads),
            _of(round(usage.film_ms / 60_000), limits.minutes),
        )
    out.print(shown)
    return None


def set_limits(
    tenant: Annotated[str, typer.Argument(help="Whose limits.")],
    stored: Annotated[str, typer.Option("--bytes", help="Of uploaded files: 500G, 2T, a number.")] = ANY,
    uploads: Annotated[str, typer.Option(help="Unfinished at once.")] = ANY,
    minutes: Annotated[str, typer.Option(help="Of film.")] = ANY,
    state_dir: State = None,
) -> None:
    """Give a tenant limits of its own, all of them at once; what is left out is as the settings say for everybody."""
    limits = Limits(stored_bytes=_number(stored), open_uploads=_number(uploads), minutes=_number(minutes))
    with opened(state_dir) as catalogue:
        catalogue.set_limits(check_tenant(tenant), limits)
        effective, usage = catalogue.limits(TenantId(tenant)), catalogue.usage(TenantId(tenant))
    say(
        f"{tenant}: {_of(usage.stored_bytes, effective.stored_bytes)} bytes, "
        f"{_of(usage.open_uploads, effective.open_uploads)} uploads, "
        f"{_of(round(usage.film_ms / 60_000), effective.minutes)} minutes"
    )


def _scopes(text: str) -> tuple[Scope, ...]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tuple(sorted({Scope(name) for name in names}))
    except ValueError as error:
        raise InvalidRequest(
            f"{text!r} names a scope that does not exist; the scopes are {', '.join(Scope)}."
        ) from error


def _number(text: str) -> int | None:
    if text == ANY:
        return None
    match = re.fullmatch(r"(\d{1,15})([kmgt]i?)?", text.strip().lower())
    if match is None:
        raise InvalidRequest(f"{text!r} is no number; 500G, 2Ti and 20 are.")
    return int(match[1]) * _UNITS[match[2] or ""]


def _of(used: int, limit: int | None) -> str:
    return f"{used:,}" if limit is None else f"{used:,} of {limit:,}"


def _state(key: ApiKey, now_ms: int) -> str:
    if key.revoked_at_ms is not None:
        return "revoked"
    if key.expires_at_ms is None:
        return "good"
    return f"good until {_moment(key.expires_at_ms)}" if key.is_good(now_ms) else "expired"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _record(key: ApiKey, now_ms: int) -> dict[str, object]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": list(key.scopes),
        "state": _state(key, now_ms),
        "created_at_ms": key.created_at_ms,
        "expires_at_ms": key.expires_at_ms,
        "last_used_at_ms": key.last_used_at_ms,
        "revoked_at_ms": key.revoked_at_ms,
    }
