"""The page of all rules says what is true: of the rules themselves, and of what we write."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

from packager.cmaf.pssh import common_pssh
from packager.conformance import RULES, Report, Severity, judge, read_subject
from packager.conformance.reference import NOT_ASKED, NOT_MET, NOT_OURS, render_reference
from storage.media.encryption import DrmSystem, Encryption
from tests.published_files import BASE, MemoryLibrary, content_keys, published

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "rules.md"
A_DRM = DrmSystem(
    system_id="1077efec-c0b2-4d02-ace3-3c1e52e2fb4b",
    pssh=base64.b64encode(common_pssh([key.facts for key in content_keys()])).decode(),
    hls_key_format="urn:uuid:1077efec-c0b2-4d02-ace3-3c1e52e2fb4b",
    hls_uri="data:text/plain;base64,AAAA",
    licence_url="https://licences.example/",
)
KINDS = {
    "clear": published(),
    "growing": published(complete=False),
    "everything": published(everything=True),
    "cbcs": published(encryption=Encryption.CBCS),
    "cbcs for a DRM": published(encryption=Encryption.CBCS, systems=(A_DRM,)),
    "AES-128": published(encryption=Encryption.AES128),
}


@cache
def reports() -> dict[str, Report]:
    """Every kind of presentation that we write, served well."""
    made = {}
    for kind, files in KINDS.items():
        names = [name for name in ("master.m3u8", "manifest.mpd") if name in files]
        library = MemoryLibrary(files=files, speaks_http=True)
        made[kind] = judge(read_subject([BASE + name for name in names], library))
    return made


def test_the_page_is_that_of_the_rules() -> None:
    assert PAGE.read_text() == render_reference(), "python -m packager.conformance.reference docs/reference/rules.md"


def test_whatever_we_write_obeys_every_rule_but_those_that_the_page_names() -> None:
    for kind, report in reports().items():
        broken = [(one.rule.id, one.where, one.detail) for one in report.findings if one.rule.id not in NOT_MET]
        assert broken == [], kind
    assert all(RULES[rule].severity is Severity.SHOULD for rule in NOT_MET)


def test_every_rule_finds_something_of_ours_to_apply_to_but_those_that_the_page_names() -> None:
    asked = {rule.id for report in reports().values() for rule in report.held} | set(NOT_MET)
    assert set(RULES) - asked == set(NOT_OURS)


def test_every_rule_has_a_source_a_severity_and_sentences() -> None:
    for rule in RULES.values():
        assert all((rule.source, rule.says.endswith("."), rule.remedy.endswith("."), rule.needs)), rule.id
    names = [name for name, *_ in NOT_ASKED]
    assert len({*names, *RULES}) == len(names) + len(RULES)
