"""Who asks: from an Authorization field or a session cookie to a `Principal`. Blocks where it asks the catalogue.

A credential that is shown and is not good is an error, never nobody; only a cookie that ran out is: its owner is to see
the sign-in page, not a refusal.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from storage.access import ApiKey, Keys, opened_by, parse_token
from storage.errors import NotFound
from storage.grants import KeyRing
from storage.ids import KeyId
from storage.signing import read_claims, sign_claims
from storage.upload_grants import PREFIX as GRANT_PREFIX
from storage.upload_grants import read_upload_grant
from upload_api.auth.guests import SAFE
from upload_api.auth.principal import ANYBODY, Principal, of_grant
from upload_api.errors import ForeignOrigin, NotSignedIn

COOKIE = "fishladder_session"
_PURPOSE = "session"
USE_NOTED_EVERY_MS = 60_000
"""When a key was last used is kept to the minute: not every request is to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser that is signed in: by which key, and until when, in seconds since the epoch."""

    key: KeyId
    expires_at_s: int


class Doorkeeper:
    """``open_house``: nobody needs a key; whoever shows one is who it says."""

    def __init__(self, keys: Keys, ring: KeyRing, *, open_house: bool, session_s: float) -> None:
        self._keys = keys
        self._ring = ring
        self._session_s = session_s
        self.open_house = open_house

    def caller(self, method: str, fields: Mapping[str, str], public: str) -> Principal | None:
        """Who asks; None: nobody in particular. ``public``: our own base URL as the caller reaches it. Raises
        `NotSignedIn` and `ForeignOrigin`."""
        token = bearer_token(fields.get("authorization", ""))
        if token is not None:
            return self._by_token(token)
        session = self.session(fields)
        key = None if session is None else self._good_key(session.key)
        if key is not None:
            if method not in SAFE:
                check_origin(fields, public)
            return _principal(key)
        return ANYBODY if self.open_house else None

    def good_key(self, token: str) -> ApiKey:
        """The key that ``token`` is of. Raises `NotSignedIn`."""
        parsed = parse_token(token)
        if parsed is None:
            raise NotSignedIn("That is not a key of ours: check that you have all of it.")
        key = self._good_key(parsed.id)
        if key is None or not key.is_proved_by(parsed):
            raise NotSignedIn("This key is not known here, has expired or was revoked.")
        return key

    def begin_session(self, key: ApiKey) -> tuple[Session, str]:
        """A session of the key's owner, and the cookie's value."""
        ends_s = time.time() + self._session_s
        if key.expires_at_ms is not None:
            ends_s = min(ends_s, key.expires_at_ms / 1000)
        session = Session(key=key.id, expires_at_s=int(ends_s))
        return session, sign_claims(_PURPOSE, {"k": session.key, "e": session.expires_at_s}, self._ring)

    def session(self, fields: Mapping[str, str]) -> Session | None:
        """The session that the request's cookie proves, unless it has ended."""
        value = cookie_value(fields.get("cookie", ""), COOKIE)
        claims = read_claims(_PURPOSE, value, self._ring) if value is not None else None
        if claims is None or claims["e"] <= time.time():
            return None
        return Session(key=KeyId(claims["k"]), expires_at_s=claims["e"])

    def _by_token(self, token: str) -> Principal:
        if not token.startswith(GRANT_PREFIX):
            return _principal(self.good_key(token))
        grant = read_upload_grant(token, self._ring)
        if grant is None:
            raise NotSignedIn("That is not a grant of ours.")
        if grant.expires_at_s <= time.time():
            raise NotSignedIn("This grant to upload has expired; ask for a new one where you got it.")
        if grant.key is not None and self._good_key(grant.key) is None:
            raise NotSignedIn("The key behind this grant has expired or was revoked.")
        return of_grant(grant)

    def _good_key(self, key_id: KeyId) -> ApiKey | None:
        try:
            key = self._keys.key(key_id)
        except NotFound:
            return None
        now_ms = int(time.time() * 1000)
        if not key.is_good(now_ms):
            return None
        if now_ms - (key.last_used_at_ms or 0) > USE_NOTED_EVERY_MS:
            self._keys.note_key_used(key_id)
        return key


def _principal(key: ApiKey) -> Principal:
    return Principal(tenant=key.tenant, scopes=opened_by(key.scopes), key_id=key.id)


def bearer_token(authorization: str) -> str | None:
    """What is behind «Bearer»; None for another scheme, which is for a proxy before us."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def cookie_value(field: str, name: str) -> str | None:
    try:
        found = SimpleCookie(field).get(name)
    except CookieError:
        return None
    return None if found is None else found.value


def check_origin(fields: Mapping[str, str], public: str) -> None:
    """What a cookie alone allows, it allows to our own pages only. SameSite=Strict says the same to browsers; this holds
    where that does not, as between sites of one domain. Raises `ForeignOrigin`."""
    origin = fields.get("origin")
    if origin is None:
        if fields.get("sec-fetch-site") == "same-origin":
            return
        raise ForeignOrigin
    ours = {urlsplit(public).netloc.lower(), fields.get("host", "").lower()}
    if urlsplit(origin).netloc.lower() not in ours:
        raise ForeignOrigin
