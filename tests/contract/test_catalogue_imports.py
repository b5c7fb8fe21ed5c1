"""Imports as rows: whose turn it is, and what is remembered of an address."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from storage.catalogue import Upload
from storage.catalogue.sql import SqlCatalogue
from tests.builders import a_new_upload
from tests.journeys import MINUTE_MS, let_time_pass

URL = "https://video.example/film.mkv?secret=1"


def an_import(catalogue: SqlCatalogue, url: str = URL) -> Upload:
    return catalogue.create_upload(replace(a_new_upload(), source_url=url))


def test_imports_are_due_in_order_and_one_claimer_gets_each(catalogue: SqlCatalogue) -> None:
    first = an_import(catalogue)
    let_time_pass(catalogue, MINUTE_MS)
    second = an_import(catalogue)
    catalogue.create_upload(a_new_upload())  # somebody sends this one
    assert catalogue.due_imports(10) == (first.id, second.id)
    assert catalogue.due_imports(1) == (first.id,)
    claimed = catalogue.claim_import(first.id, MINUTE_MS)
    assert claimed is not None
    assert (claimed.upload, claimed.url, claimed.validator, claimed.tries) == (first.id, URL, None, 0)
    assert catalogue.claim_import(first.id, MINUTE_MS) is None
    assert catalogue.due_imports(10) == (second.id,)
    let_time_pass(catalogue, 2 * MINUTE_MS)
    assert catalogue.due_imports(10) == (first.id, second.id) or catalogue.due_imports(10) == (second.id, first.id)


def test_of_many_claimers_at_once_one_gets_the_import(catalogue: SqlCatalogue) -> None:
    upload, together = an_import(catalogue), threading.Barrier(4)

    def claim() -> bool:
        together.wait(60)
        return catalogue.claim_import(upload.id, MINUTE_MS) is not None

    with ThreadPoolExecutor(4) as pool:
        assert sum(each.result() for each in [pool.submit(claim) for _ in range(4)]) == 1


def test_an_import_whose_upload_is_written_to_is_not_due(catalogue: SqlCatalogue) -> None:
    upload = an_import(catalogue)
    token = catalogue.acquire_upload(upload.id, "importer", MINUTE_MS)
    assert catalogue.due_imports(10) == ()
    catalogue.release_upload(upload.id, token)
    assert catalogue.due_imports(10) == (upload.id,)


def test_attempts_and_validators_are_remembered(catalogue: SqlCatalogue) -> None:
    upload = an_import(catalogue)
    catalogue.note_import(upload.id, tries=2, delay_ms=MINUTE_MS, validator='"one"')
    assert catalogue.claim_import(upload.id, MINUTE_MS) is None
    let_time_pass(catalogue, 2 * MINUTE_MS)
    catalogue.note_import(upload.id, tries=3, delay_ms=0)
    claimed = catalogue.claim_import(upload.id, MINUTE_MS)
    assert claimed is not None
    assert (claimed.tries, claimed.validator) == (3, '"one"')


def test_addresses_of_uploads_that_ended_are_forgotten(catalogue: SqlCatalogue) -> None:
    ended, open_one = an_import(catalogue), an_import(catalogue)
    catalogue.terminate_upload(ended.id)
    assert catalogue.due_imports(10) == (open_one.id,)
    assert catalogue.forget_ended_imports() == 1
    assert catalogue.forget_ended_imports() == 0
    catalogue.note_import(ended.id, tries=1, delay_ms=0)  # too late, and harmless
    assert catalogue.claim_import(ended.id, MINUTE_MS) is None
