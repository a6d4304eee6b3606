import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.adapters.group_commit import GroupCommit


class Log:
    """Writes numbers; the first group waits until the test lets it go on."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.began, self.may_end = threading.Event(), threading.Event()

    def write_all(self, numbers: Sequence[int]) -> list[int]:
        self.groups.append(list(numbers))
        self.began.set()
        assert self.may_end.wait(30)
        if -1 in numbers:
            raise OSError("the disk is full")
        return [10 * number for number in numbers]


def come_while_one_is_written(log: Log, numbers: Sequence[int], pool: ThreadPoolExecutor) -> list[Future[int]]:
    """One is being written; then the others come, and all of them wait."""
    commit: GroupCommit[int, int] = GroupCommit(log.write_all)
    came = threading.Semaphore(0)

    def write(number: int) -> int:
        came.release()
        return commit.write(number)

    first = pool.submit(commit.write, 0)
    assert log.began.wait(30)
    others = [pool.submit(write, number) for number in numbers]
    for _ in numbers:
        assert came.acquire(timeout=30)
    wait_until(lambda: len(commit._waiting) == len(numbers))
    log.may_end.set()
    return [first, *others]


def wait_until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to that")


def test_who_is_alone_is_written_at_once() -> None:
    groups: list[list[int]] = []

    def write_all(numbers: Sequence[int]) -> list[int]:
        groups.append(list(numbers))
        return [number + 1 for number in numbers]

    commit: GroupCommit[int, int] = GroupCommit(write_all)
    assert [commit.write(1), commit.write(2)] == [2, 3]
    assert groups == [[1], [2]]


def test_who_comes_during_a_write_is_written_together_and_gets_its_own_result() -> None:
    log = Log()
    with ThreadPoolExecutor(8) as pool:
        results = [future.result(30) for future in come_while_one_is_written(log, range(1, 7), pool)]
    assert results == [0, 10, 20, 30, 40, 50, 60]
    assert [sorted(group) for group in log.groups] == [[0], [1, 2, 3, 4, 5, 6]]


def test_an_error_is_raised_to_all_whom_it_concerns_and_to_nobody_else() -> None:
    log = Log()
    with ThreadPoolExecutor(8) as pool:
        first, *others = come_while_one_is_written(log, [1, -1, 2], pool)
        assert first.result(30) == 0
        for other in others:
            with pytest.raises(OSError, match="the disk is full"):
                other.result(30)


def test_after_an_error_it_goes_on() -> None:
    answers = [OSError("away"), None]

    def write_all(numbers: Sequence[int]) -> list[int]:
        if error := answers.pop(0):
            raise error
        return list(numbers)

    commit: GroupCommit[int, int] = GroupCommit(write_all)
    with pytest.raises(OSError, match="away"):
        commit.write(1)
    assert commit.write(2) == 2


def test_with_many_at_once_nothing_is_left_out_or_written_twice() -> None:
    written: list[int] = []

    def write_all(numbers: Sequence[int]) -> list[int]:
        written.extend(numbers)
        return list(numbers)

    commit: GroupCommit[int, int] = GroupCommit(write_all)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(commit.write, range(5000))) == list(range(5000))
    assert sorted(written) == list(range(5000))
