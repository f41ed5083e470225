"""Put pieces of work into as few tasks as will do."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def pack(sizes: Sequence[int], *, capacity: int) -> list[int]:
    """The task, from 0 on, of each piece: together the pieces of a task are at most ``capacity``.

    A piece that is larger is alone in its task. From large to small, each piece goes where most room is left
    (worst fit decreasing): at most one task is less than half full.
    """
    tasks = [0] * len(sizes)
    open_tasks: list[tuple[int, int]] = []  # the rows in it, the task
    opened = 0
    for piece in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        if open_tasks and open_tasks[0][0] + sizes[piece] <= capacity:
            filled, task = heapq.heappop(open_tasks)
        else:
            filled, task, opened = 0, opened, opened + 1
        tasks[piece] = task
        heapq.heappush(open_tasks, (filled + sizes[piece], task))
    return tasks
