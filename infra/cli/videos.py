"""``videos …``: what is there, and what to do with it, over the upload API."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from infra.cli.api import Api, Key
from infra.cli.console import examples, out, print_json, say, settings, table
from infra.cli.uploads import addresses
from storage.lifecycle import VideoState

Server = Annotated[str | None, typer.Option(help="Upload API to ask (default: FISHLADDER_PUBLIC_URL).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
VideoIds = Annotated[list[str], typer.Argument(help="Ids of videos.", show_default=False)]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="What is there, and what to do with it.", no_args_is_help=True)
    group.command("list", epilog=examples("fishladder videos list", "fishladder videos list --state failed --json"))(
        listing
    )
    group.command("show", epilog=examples("fishladder videos show 7h2k9m4p3q8r5t6v"))(show)
    group.command("delete", epilog=examples("fishladder videos delete 7h2k9m4p3q8r5t6v"))(delete)
    group.command("cancel", epilog=examples("fishladder videos cancel 7h2k9m4p3q8r5t6v"))(cancel)
    group.command("retry", epilog=examples("fishladder videos retry 7h2k9m4p3q8r5t6v"))(retry)
    app.add_typer(group, name="videos", epilog=examples("fishladder videos list", "fishladder videos show ID"))


def listing(
    state: Annotated[VideoState | None, typer.Option(help="Only videos in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most, newest first.")] = 50,
    server: Server = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List videos, newest first."""
    with _api(server, key) as api:
        answer = api.get("/api/v1/videos", limit=limit, **({"state": str(state)} if state else {}))
    videos: list[dict[str, Any]] = answer["videos"]
    if as_json:
        return print_json(videos)
    shown = table("Id", "Title", "State", "Done", "Length")
    for video in videos:
        shown.add_row(video["id"], escape(video["title"]), video["state"], f"{video['progress']:.0%}", _length(video))
    if videos:
        out.print(shown)
    else:
        say("There are no videos yet. `fishladder upload FILE` makes one.")
    return None


def show(
    video: Annotated[str, typer.Argument(help="Id of the video.")],
    server: Server = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show all that is known of a video."""
    with _api(server, key) as api:
        facts: dict[str, Any] = api.get(f"/api/v1/videos/{video}")
    if as_json:
        return print_json(facts)
    say(f"{facts['title']} is {facts['state']}, {facts['progress']:.0%} done, {_length(facts)}")
    if facts.get("reason"):
        say(facts["reason"])
    for one in facts["notes"]:
        say(f"Note: {one['sentence']}")
    say(addresses(facts))
    return None


def delete(videos: VideoIds, server: Server = None, key: Key = None) -> None:
    """Delete videos: they are gone from everywhere at once, their objects a little later."""
    with _api(server, key) as api:
        for video in videos:
            api.delete(f"/api/v1/videos/{video}")
            say(f"{video} is deleted.")


def cancel(videos: VideoIds, server: Server = None, key: Key = None) -> None:
    """Stop working on videos. They can be retried."""
    _each(videos, "cancel", "is cancelled", server, key)


def retry(videos: VideoIds, server: Server = None, key: Key = None) -> None:
    """Begin again with videos that failed, from their uploaded sources."""
    _each(videos, "retry", "is worked on again", server, key)


def _each(videos: list[str], verb: str, told: str, server: str | None, key: str | None) -> None:
    with _api(server, key) as api:
        for video in videos:
            api.post(f"/api/v1/videos/{video}/{verb}")
            say(f"{video} {told}.")


def _api(server: str | None, key: str | None) -> Api:
    return Api(server or settings().public_url, key=key)


def _length(video: dict[str, Any]) -> str:
    seconds = video.get("duration_seconds")
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
