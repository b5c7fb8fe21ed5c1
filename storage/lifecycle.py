"""The life of a video, as a table. Everything about which state may follow which lives here."""

from __future__ import annotations

from enum import StrEnum

from storage.errors import IllegalTransition


class VideoState(StrEnum):
    """Where a video is in its life."""

    UPLOADING = "uploading"
    INSPECTING = "inspecting"
    ENCODING = "encoding"
    PLAYABLE = "playable"  # a prefix plays while the rest encodes
    READY = "ready"
    REJECTED = "rejected"  # the source is at fault; also from ``playable``
    FAILED = "failed"  # we are; can be retried. Cancelling ends here too, with the code ``cancelled``
    DELETED = "deleted"


FOLLOWS: dict[VideoState, frozenset[VideoState]] = {
    VideoState.UPLOADING: frozenset(
        {VideoState.INSPECTING, VideoState.REJECTED, VideoState.FAILED, VideoState.DELETED}
    ),
    VideoState.INSPECTING: frozenset({VideoState.ENCODING, VideoState.REJECTED, VideoState.FAILED, VideoState.DELETED}),
    VideoState.ENCODING: frozenset(
        {VideoState.PLAYABLE, VideoState.READY, VideoState.REJECTED, VideoState.FAILED, VideoState.DELETED}
    ),
    VideoState.PLAYABLE: frozenset({VideoState.READY, VideoState.REJECTED, VideoState.FAILED, VideoState.DELETED}),
    VideoState.READY: frozenset({VideoState.DELETED}),
    VideoState.REJECTED: frozenset({VideoState.DELETED}),
    # A retry starts the way of the video again from its source.
    VideoState.FAILED: frozenset({VideoState.INSPECTING, VideoState.DELETED}),
    VideoState.DELETED: frozenset(),
}

SETTLED = frozenset({VideoState.READY, VideoState.REJECTED, VideoState.FAILED, VideoState.DELETED})
"""States in which nothing more happens by itself."""


def advance(state: VideoState, to: VideoState) -> VideoState:
    """The state ``to``, if it may follow ``state``; raises `IllegalTransition` otherwise."""
    if to not in FOLLOWS[state]:
        raise IllegalTransition(f"A video that is {state} cannot become {to}.", state=state, to=to)
    return to
