"""Following the catalogue's events reliably: whoever acts on them outside of the database notes how far it has come, and
goes on from there after a restart. Events are written in the transaction of what they tell, so they are an outbox:
nothing is told that did not happen, and nothing that happened is not told.
"""

from __future__ import annotations

from typing import Protocol


class Followings(Protocol):
    """Each call is one transaction. All block."""

    def position(self, follower: str) -> int:
        """The id of the last event that ``follower`` is done with. One that was never heard of begins with what happens
        from now on."""
        ...

    def advance(self, follower: str, event_id: int) -> None:
        """``follower`` is done with all events up to ``event_id``. Never goes back."""
        ...

    def follower_lags_ms(self) -> dict[str, int]:
        """How long the oldest event that each follower is not done with has waited; 0: there is none."""
        ...
