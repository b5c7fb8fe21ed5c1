"""What a grant makes of an upload that is to begin. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict

from storage.catalogue import Concat
from storage.upload_grants import UploadGrant, admit_upload
from upload_api.tus.metadata import MAX_TITLE_CHARACTERS, tidy_line
from upload_api.tus.protocol import Creation


class GrantFacts(TypedDict, total=False):
    grant: str
    grant_uploads: int
    max_bytes: int | None
    labels: dict[str, str]


def as_granted(creation: Creation, grant: UploadGrant | None) -> Creation:
    """``creation`` with what its grant settles: lane and title are the grantor's, if it says them. Raises `TooLarge` and
    `NotAllowed`. What a partial upload is declared to be says nothing; its final one is asked."""
    if grant is None:
        return creation
    wishes = creation.wishes
    partial = creation.concat is not None and creation.concat.kind is Concat.PARTIAL
    admit_upload(
        replace(grant, types=()) if partial else grant,
        length_bytes=creation.length_bytes,
        filetype=wishes.filetype,
        lane=wishes.asked_lane,
    )
    title = tidy_line(grant.metadata.get("title", ""), MAX_TITLE_CHARACTERS) or wishes.title
    return replace(creation, wishes=replace(wishes, title=title, lane=grant.lane or wishes.lane))


def facts_of_grant(grant: UploadGrant | None) -> GrantFacts:
    """What is kept of a grant with its upload."""
    if grant is None:
        return {}
    return {
        "grant": grant.id,
        "grant_uploads": grant.max_uploads,
        "max_bytes": grant.max_bytes,
        "labels": dict(grant.metadata),
    }
