"""``audit``: the database against the store, both ways. For operators: it looks into both itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.console import REFUSED, examples, print_json, say, table
from infra.cli.inside import of_state
from storage.access import check_tenant
from storage.audit import Audit, FindingKind
from storage.grants import Visibility
from storage.ids import DEFAULT_TENANT

SHOWN = 50

MEANINGS = {
    FindingKind.LOST: "a row names it, the store does not have it, or not of its size",
    FindingKind.DOUBLED: "a second object of a segment; no row names it",
    FindingKind.ORPHANED: "no row names it",
    FindingKind.STUCK: "a video at work without a job",
    FindingKind.ADOPTABLE: "a source whose video the database does not know",
}


def register(app: typer.Typer) -> None:
    app.command(epilog=examples("fishladder audit", "fishladder audit --repair", "fishladder audit --grace-hours 1"))(
        audit
    )


def audit(
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Delete strays past the grace time, within the limit; set stuck videos going."),
    ] = False,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm", help="With --repair: also beyond the limit; unknown videos are adopted from sources."
        ),
    ] = False,
    tenant: Annotated[
        str,
        typer.Option(help="With --confirm: whose the unknown videos become; the store does not say whose they were."),
    ] = DEFAULT_TENANT,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="Objects without a row that are younger are left alone.")
    ] = 7 * 24,
    state_dir: Annotated[
        Path | None, typer.Option("--state-dir", help="State folder of the stack to look into.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Compare the database with the store: anything lost, doubled or orphaned. Ends with 1 if something is wrong."""
    from infra.composition import open_bell, open_blobs, open_catalogue
    from workers import audit as auditing

    whose = check_tenant(tenant)
    ours = of_state(state_dir)
    catalogue, blobs = open_catalogue(ours), open_blobs(ours)
    try:
        catalogue.check()
        blobs.check()
        found = auditing.audit(catalogue, blobs, grace_ms=round(grace_hours * 3_600_000))
        done = None
        if repair:
            # Nobody should see more than before: whose link was needed needs it again.
            seen_as = Visibility.SIGNED if ours.playback_keys else Visibility.UNLISTED
            done = auditing.repair(
                catalogue, blobs, open_bell(ours), found, confirmed=confirm, tenant=whose, visibility=seen_as
            )
    finally:
        catalogue.close()
    if as_json:
        print_json(_record(found) | ({"repaired": dataclasses.asdict(done)} if done else {}))
    else:
        _tell(found)
        if done is not None:
            say(f"Deleted {done.deleted}, adopted {done.adopted}, set going {done.set_going}.")
            if done.withheld:
                say(
                    f"{done.withheld} strays were left: too many, or of unknown assets. Look at them, then add --confirm."
                )
    return 0 if found.clean else REFUSED


def _record(found: Audit) -> dict[str, object]:
    return {
        "objects": found.objects,
        "referenced": found.referenced,
        "young": found.young,
        "counts": {str(kind): count for kind, count in found.counts().items()},
        "findings": [
            {"kind": str(it.kind), "key": it.key, "video": it.video, "size_bytes": it.size_bytes}
            for it in found.findings
        ],
    }


def _tell(found: Audit) -> None:
    from infra.cli.console import out

    say(f"{found.objects} objects in the store, {found.referenced} named by rows, {found.young} too young to judge.")
    counted = table("Finding", "Count", "Meaning", ids=())
    for kind, count in found.counts().items():
        counted.add_row(str(kind), str(count), MEANINGS[kind])
    out.print(counted)
    for finding in found.findings[:SHOWN]:
        say(f"{finding.kind}: {finding.sentence}")
    if len(found.findings) > SHOWN:
        say(f"… and {len(found.findings) - SHOWN} more; --json lists all.")
