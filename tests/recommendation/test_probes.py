from __future__ import annotations

from movierate_spark.recommendation.probes import Probes


def test_probes_stand_for_one_thing_each_and_for_nothing_first() -> None:
    probes = Probes(genres=("Drama", "War"), decades=(1990,), values=(("gender", "F"),))
    assert probes.movies == [
        (-1, None, None, []),
        (-2, None, None, ["Drama"]),
        (-3, None, None, ["War"]),
        (-4, None, 1990, []),
    ]
    assert probes.users == [(-1, None, None, None), (-2, "F", None, None)]
