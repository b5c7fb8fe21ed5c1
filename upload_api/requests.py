"""What we read of an ASGI scope, in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.types import Scope

from upload_api.urls import Asked

TRAILERS = "fishladder.trailers"
"""Our extension of the ASGI scope: a list that is whole once the body has ended."""


INTERIM = "fishladder.interim"
"""Another one: sends an answer before the answer (1xx)."""
Interim = Callable[[int, Sequence[tuple[str, str]]], None]


def interim_of(scope: Scope) -> Interim:
    """What sends status and fields ahead of the answer, where the server that runs us can; else it does nothing."""
    send: Interim | None = scope.get("extensions", {}).get(INTERIM)
    return send or (lambda _status, _fields: None)


def request_fields(scope: Scope) -> dict[str, str]:
    """Header fields by lower-case name. One that came twice is joined with a comma (RFC 9110 section 5.3), which a
    count, an offset or a version never survives."""
    fields: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def request_trailers(scope: Scope) -> list[tuple[bytes, bytes]] | None:
    """The trailer fields that came so far, if the server keeps them apart from the header fields (ours does); None if
    trailers cannot be told here."""
    trailers: list[tuple[bytes, bytes]] | None = scope.get("extensions", {}).get(TRAILERS)
    return trailers


def asked_by(scope: Scope) -> Asked:
    server, client = scope.get("server"), scope.get("client")
    return Asked(
        scheme=scope.get("scheme", "http"),
        server_port=server[1] if server else None,
        fields=request_fields(scope),
        peer=client[0] if client else None,
    )
