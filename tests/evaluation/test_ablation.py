"""Which columns a model is fitted without."""

from __future__ import annotations

from collections import Counter

from movierate_spark.evaluation.ablation import NOTHING, TOGETHER, _variants
from movierate_spark.features.names import FAMILIES, NUMBERS


def test_each_attribute_is_in_one_family() -> None:
    counts = Counter(source for sources in FAMILIES.values() for source in sources)
    assert set(counts.values()) == {1}
    assert {source for _, source in NUMBERS.values()} <= set(counts)
    sources = {source for of_family in FAMILIES.values() for source in of_family}
    assert {part for parts in TOGETHER.values() for part in parts} <= {*FAMILIES, *sources}


def test_a_model_keeps_the_slots_of_all_other_families() -> None:
    sources = ["gender", "user: ratings of similar movies", "genre", "user: taste for movies like this"]
    assert _variants(sources) == {
        NOTHING: [0, 1, 2, 3],
        "people": [1, 2, 3],
        "genres and release": [0, 1, 3],
        "neighbours": [0, 2, 3],
        "factors": [0, 1, 2],
        "neighbours and factors": [0, 2],
        "all that ratings tell": [0, 2],
    }


def test_families_that_the_model_does_not_have_are_not_left_out() -> None:
    assert _variants(["gender", "age"]) == {NOTHING: [0, 1], "people": []}
