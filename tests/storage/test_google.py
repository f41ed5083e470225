"""Google Cloud Storage compares an object's version where S3 and Azure compare its tag."""

from __future__ import annotations

import json

import pytest
from google_storage import google_store

from movierate_spark.storage.files import replace_json, tag_of
from movierate_spark.storage.locations import location_of, object_store


def test_of_two_runs_that_replace_a_ledger_the_second_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with google_store("bucket") as store:
        monkeypatch.setattr(object_store, "_store_of", lambda _: store)
        ledger = location_of("gs://bucket/lake") / "ledger.json"
        absent = tag_of(ledger)
        replace_json(ledger, {"night": 1}, expected=absent)
        with pytest.raises(FileExistsError):
            replace_json(ledger, {"night": 0}, expected=absent)
        first = tag_of(ledger)
        replace_json(ledger, {"night": 2}, expected=first)
        with pytest.raises(FileExistsError):
            replace_json(ledger, {"night": 0}, expected=first)
        assert json.loads(ledger.read_bytes()) == {"night": 2}


def test_a_ledger_that_is_replaced_between_two_looks_at_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with google_store("bucket") as store:
        monkeypatch.setattr(object_store, "_store_of", lambda _: store)
        ledger = location_of("gs://bucket/lake") / "ledger.json"
        replace_json(ledger, {"night": 1}, expected=tag_of(ledger))
        put = object_store.obstore.put

        def overtaken(*arguments: object, mode: object, **options: object) -> object:
            put(store, "lake/ledger.json", b"{}")
            return put(*arguments, mode=mode, **options)

        tag = tag_of(ledger)
        monkeypatch.setattr(object_store.obstore, "put", overtaken)
        with pytest.raises(FileExistsError):
            replace_json(ledger, {"night": 2}, expected=tag)
        assert ledger.read_bytes() == b"{}"
