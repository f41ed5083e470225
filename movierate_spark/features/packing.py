"""Bin packing: pieces of work into few tasks."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def pack(sizes: Sequence[int], *, capacity: int) -> list[int]:
    """The task (from 0) of each piece; the sizes in a task add up to at most ``capacity``.

    A larger piece is alone in its task. Pieces are placed from large to small, each into the task with the
    most room (worst fit decreasing), so that at most one task is less than half full.
    """
    tasks = [0] * len(sizes)
    open_tasks: list[tuple[int, int]] = []  # (rows, task)
    task_count = 0
    for piece in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        if open_tasks and open_tasks[0][0] + sizes[piece] <= capacity:
            filled, task = heapq.heappop(open_tasks)
        else:
            filled, task, task_count = 0, task_count, task_count + 1
        tasks[piece] = task
        heapq.heappush(open_tasks, (filled + sizes[piece], task))
    return tasks
