"""``check``: is a published presentation what players and validators accept?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.console import DONE, REFUSED, examples, note, print_json, say
from infra.cli.libraries import FolderLibrary, WebLibrary
from storage.errors import InvalidRequest, NotFound, Unavailable

if TYPE_CHECKING:
    from packager.conformance import Report, Rule, Subject


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "fishladder check site/film",
            "fishladder check http://127.0.0.1:8081/v/3f8k2m9q1r5t7v0x",
            "fishladder check --json https://example.org/film/master.m3u8",
        )
    )(check)


def check(
    what: Annotated[
        str, typer.Argument(metavar="DIR|URL", help="Folder, manifest, or URL of either.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: every rule with its verdict.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw renditions, segments, keyframes and gaps into this SVG file.")
    ] = None,
    rules: Annotated[
        bool, typer.Option("--rules", help="Also list the rules that hold, and why others do not apply.")
    ] = False,
) -> int:
    """Check HLS, DASH and CMAF of anybody's stream against what their specifications and Apple ask for."""
    from packager.conformance import judge
    from packager.conformance.plot import plot_timeline

    subject = _read(what)
    report = judge(subject)
    if plot is not None:
        plot.write_bytes(plot_timeline(subject))
    if as_json:
        print_json(_record(report))
    else:
        _tell(report, everything=rules)
    return REFUSED if _counts(report)["must"] else DONE


def _read(what: str) -> Subject:
    from packager.conformance import read_subject

    if what.startswith(("http://", "https://")):
        with WebLibrary() as web:
            entries = web.entries(what)
            if not any(web.read(url).found for url in entries):
                raise Unavailable(f"No manifest could be read at {what}.")
            return read_subject(entries, web)
    path = Path(what)
    if path.is_dir():
        folder = FolderLibrary(path)
        entries = folder.entries()
        if not entries:
            raise InvalidRequest(f"There is no manifest in {what}: neither an .m3u8 nor an .mpd.")
        return read_subject(entries, folder)
    if not path.is_file():
        raise NotFound(f"There is no folder or file {what}.")
    folder = FolderLibrary(path.parent)
    return read_subject([folder.url(path)], folder)


def _counts(report: Report) -> Counter[str]:
    return Counter(str(finding.rule.severity) for finding in report.findings)


def _tell(report: Report, *, everything: bool) -> None:
    grouped: dict[str, list[Any]] = {}
    for finding in report.findings:
        grouped.setdefault(finding.rule.id, []).append(finding)
    for findings in sorted(grouped.values(), key=lambda each: each[0].rule.severity):
        rule = findings[0].rule
        say(
            f"{rule.severity.upper():7} {rule.id}: {rule.says} ({rule.source})",
            style="red" if rule.severity == "must" else None,
        )
        for finding in findings[:3]:
            say(f"        {finding.where}: {finding.detail}")
        if len(findings) > 3:
            say(f"        … and {len(findings) - 3} more")
        say(f"        What to do: {rule.remedy}")
    if everything:
        for rule in report.held:
            say(f"holds   {rule.id}: {rule.says} ({rule.source})")
        for rule, why in report.not_applicable:
            say(f"n/a     {rule.id}: {why}")
    counts = _counts(report)
    broken = Counter(str(findings[0].rule.severity) for findings in grouped.values())
    note(
        f"{len(report.held)} rules hold, {len(report.not_applicable)} do not apply; broken: {broken['must']} musts "
        f"({counts['must']} places), {broken['should']} shoulds ({counts['should']} places)."
    )


def _record(report: Report) -> dict[str, Any]:
    def about(rule: Rule) -> dict[str, str]:
        return {"id": rule.id, "severity": str(rule.severity), "source": rule.source, "says": rule.says}

    return {
        "conforms": not _counts(report)["must"],
        "findings": [
            about(finding.rule) | {"where": finding.where, "detail": finding.detail, "remedy": finding.rule.remedy}
            for finding in report.findings
        ],
        "held": [about(rule) for rule in report.held],
        "not_applicable": [about(rule) | {"why": why} for rule, why in report.not_applicable],
    }
