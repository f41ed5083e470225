from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from movierate_spark.features.packing import pack


def test_pieces_go_where_most_room_is_left() -> None:
    assert pack([6, 5, 4, 3, 2], capacity=10) == [0, 1, 1, 0, 2]
    assert pack([30, 1, 1], capacity=10) == [0, 1, 1]
    assert pack([], capacity=10) == []


@given(st.lists(st.integers(1, 30), max_size=60), st.integers(1, 40))
def test_no_task_is_over_its_capacity_and_at_most_one_is_less_than_half_full(
    sizes: list[int], capacity: int
) -> None:
    tasks = pack(sizes, capacity=capacity)
    assert len(tasks) == len(sizes)
    filled = [0] * (max(tasks, default=-1) + 1)
    for size, task in zip(sizes, tasks, strict=True):
        filled[task] += size
    largest = {task: size for size, task in sorted(zip(sizes, tasks, strict=True))}
    assert all(rows <= max(capacity, largest[task]) for task, rows in enumerate(filled))
    assert sum(2 * rows < capacity for rows in filled) <= 1
