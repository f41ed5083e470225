from __future__ import annotations

from pyspark.sql import SparkSession

from movierate_spark.recommendation.audience import segments

COLUMNS = "gender string, age_group string, occupation string, p_like double"


def shown(spark: SparkSession, people: dict[tuple[str, str], int]) -> set[tuple[str, str, int]]:
    rows = [(*group, None, 0.5) for group, count in people.items() for _ in range(count)]
    table = segments(spark.createDataFrame(rows, COLUMNS), min_cell=11)
    return set(table[["by", "segment", "people"]].itertuples(index=False, name=None))


def test_a_few_people_of_both_attributes_do_not_follow_from_those_of_one(spark: SparkSession) -> None:
    people = {("F", "18-24"): 8, ("F", "25-34"): 92, ("M", "18-24"): 60, ("M", "25-34"): 70}
    assert shown(spark, people) == {
        ("gender", "F", 100),
        ("gender", "M", 130),
        ("age_group", "18-24", 68),
        ("age_group", "25-34", 162),
        ("occupation", "unknown", 230),
    }


def test_few_people_of_one_attribute_do_not_follow_from_those_of_both(spark: SparkSession) -> None:
    people = {
        ("X", "18-24"): 5,
        ("M", "18-24"): 60,
        ("M", "25-34"): 70,
        ("F", "18-24"): 80,
        ("F", "25-34"): 90,
    }
    by = {(name, segment) for name, segment, _ in shown(spark, people)}
    assert {segment for name, segment in by if name == "gender"} == {"F"}
    assert {segment for name, segment in by if name == "gender x age_group"} <= {"F, 18-24", "F, 25-34"}


def test_all_segments_of_enough_people_are_shown(spark: SparkSession) -> None:
    people = {("F", "18-24"): 20, ("F", "25-34"): 30, ("M", "18-24"): 40, ("M", "25-34"): 50}
    crossed = {(segment, n) for by, segment, n in shown(spark, people) if by == "gender x age_group"}
    assert crossed == {("F, 18-24", 20), ("F, 25-34", 30), ("M, 18-24", 40), ("M, 25-34", 50)}
