"""The upload API as the command line sees it."""

from __future__ import annotations

from typing import Annotated, Any

import httpx
import typer

from storage.errors import Conflict, FishladderError, NotAllowed, NotFound, Rejected, Unavailable

Key = Annotated[
    str | None,
    typer.Option("--key", envvar="LADDER_API_KEY", help="API key, where the server asks for one.", show_default=False),
]


class Api:
    """REST over HTTP; answers are plain JSON values, problems become our errors."""

    def __init__(self, server: str, transport: httpx.BaseTransport | None = None, *, key: str | None = None) -> None:
        self.server = server.rstrip("/")
        self.fields = authorization(key)
        self._http = httpx.Client(base_url=self.server, timeout=30, transport=transport, headers=self.fields)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **params: str | int) -> Any:
        return self._call("GET", path, params=params)

    def post(self, path: str, value: Any = None) -> Any:
        return self._call("POST", path, **({} if value is None else {"json": value}))

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise unreachable(self.server) from error
        if answer.is_success:
            return answer.json() if answer.content else None
        raise problem(answer.status_code, answer.content)


def authorization(key: str | None) -> dict[str, str]:
    """The header fields that show ``key``."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def unreachable(server: str) -> Unavailable:
    return Unavailable(
        f"Nothing answers at {server}. Start it with `fishladder up`, or name another server with --server or "
        "FISHLADDER_PUBLIC_URL."
    )


def problem(status: int, body: bytes | str | None) -> FishladderError:
    """The error behind an HTTP answer, with the sentence of its problem body (RFC 9457) where there is one."""
    sentence = _sentence(body) or f"The server answered with status {status}."
    match status:
        case 404 | 410:
            return NotFound(sentence)
        case 401:
            return NotAllowed(f"{sentence} Here: --key, or the variable LADDER_API_KEY.")
        case 403:
            return NotAllowed(sentence)
        case 409 | 423:
            return Conflict(sentence)
        case 429:
            return Unavailable(sentence)
    return Rejected(sentence) if 400 <= status < 500 else Unavailable(sentence)


def _sentence(body: bytes | str | None) -> str | None:
    try:
        value = httpx.Response(200, content=body or b"").json()
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    return value.get("detail") or value.get("title")
