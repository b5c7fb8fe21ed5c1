"""``playback …``: who may play a video, and links for those who may. For operators: it looks into the database itself."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from infra.cli.console import examples, print_json, say, settings
from infra.cli.inside import Json, State, of_state
from storage.cat import CommonAccessToken, mint_cat
from storage.errors import InvalidRequest
from storage.grants import KeyRing, PlaybackGrant, Visibility, sign_grant
from storage.ids import VideoId


class TokenForm(StrEnum):
    OWN = "own"
    CAT = "cat"  # Common Access Token, CTA-5007


class Opens(StrEnum):
    PLAY = "play"
    DOWNLOAD = "download"  # keeping it as a file
    PLAYS = "plays"  # the page about how it was played


class Seen(StrEnum):
    PUBLIC = "public"
    UNLISTED = "unlisted"
    SIGNED = "signed"
    DEFAULT = "default"


Video = Annotated[str, typer.Argument(help="Id of the video.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Who may play a video.", no_args_is_help=True)
    group.command("visibility", epilog=examples("fishladder playback visibility 3f8k2m9q1r5t7v0x signed"))(visibility)
    group.command("link", epilog=examples("fishladder playback link 3f8k2m9q1r5t7v0x --hours 2"))(link)
    app.add_typer(group, name="playback", epilog=examples("fishladder playback link ID --hours 2"))


def visibility(
    video: Video,
    seen: Annotated[Seen | None, typer.Argument(help="What it is to be; without: what it is.")] = None,
    state_dir: State = None,
) -> None:
    """Show or set who may play a video: anybody (public, unlisted), who has a signed link, or as the default says."""
    from infra.composition import open_catalogue

    ours = of_state(state_dir)
    if seen is Seen.SIGNED and not ours.playback_keys:
        raise InvalidRequest("Signed playback needs FISHLADDER_PLAYBACK_KEYS: `openssl rand -hex 32` makes a secret.")
    catalogue = open_catalogue(ours)
    try:
        if seen is not None:
            catalogue.set_visibility(VideoId(video), None if seen is Seen.DEFAULT else Visibility(seen))
        catalogue.video(VideoId(video))
        own = catalogue.visibility(VideoId(video))
    finally:
        catalogue.close()
    say(own if own is not None else f"{ours.visibility} (the default)")


def link(
    video: Video,
    hours: Annotated[float, typer.Option(min=0.01, help="How long it is good for.")] = 24.0,
    not_before: Annotated[datetime | None, typer.Option(help="From when on (UTC).")] = None,
    address: Annotated[str | None, typer.Option(help="Only for this address or network.")] = None,
    form: Annotated[TokenForm, typer.Option(help="Our own form, or a Common Access Token.")] = TokenForm.OWN,
    opens: Annotated[
        Opens, typer.Option(help="What it opens: the video, its files, or the page about its plays.")
    ] = Opens.PLAY,
    as_json: Json = False,
) -> None:
    """Sign links to a video, by FISHLADDER_PLAYBACK_KEYS. Nothing is looked up: the id may be of a video to come."""
    ours = settings()
    keys = KeyRing.parse(ours.playback_keys)
    if not keys.keys:
        raise InvalidRequest(
            "There is no FISHLADDER_PLAYBACK_KEYS to sign with: `openssl rand -hex 32` makes a secret."
        )
    begins_s = int(not_before.replace(tzinfo=UTC).timestamp()) if not_before is not None else 0
    grant = PlaybackGrant(
        video=VideoId(video),
        expires_at_s=max(int(time.time()), begins_s) + round(hours * 3600),
        not_before_s=begins_s,
        network=address,
        scope=opens,
    )
    links = _links(ours.origin_url, grant, _token(grant, keys, form))
    if as_json:
        return print_json(links)
    for name, url in links.items():
        say(f"{name:6} {url}")
    return None


def _token(grant: PlaybackGrant, keys: KeyRing, form: TokenForm) -> str:
    if form is TokenForm.OWN:
        return sign_grant(grant, keys)
    if grant.scope != Opens.PLAY:
        raise InvalidRequest("A Common Access Token opens the video only.")
    key_id, secret = keys.signing
    cat = CommonAccessToken(
        video=grant.video,
        expires_at_s=grant.expires_at_s,
        not_before_s=grant.not_before_s or None,
        network=grant.network,
    )
    return base64.urlsafe_b64encode(mint_cat(cat, key_id, secret)).rstrip(b"=").decode()


def _links(origin_url: str, grant: PlaybackGrant, token: str) -> dict[str, str]:
    if grant.scope == Opens.PLAYS:
        return {"plays": f"{origin_url}/plays/{grant.video}?token={token}"}
    if grant.scope == Opens.DOWNLOAD:
        base = f"{origin_url}/t/{token}/v/{grant.video}/download"
        return {"source": f"{base}/source", "mp4": f"{base}/720p.mp4"}
    base = f"{origin_url}/t/{token}/v/{grant.video}"
    return {"hls": f"{base}/master.m3u8", "dash": f"{base}/manifest.mpd", "token": token}
