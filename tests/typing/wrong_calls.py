"""Calls that are wrong, as a user would write them; `test_typing` asserts that each is an error.

A line that ends in "wrong" must be one for both checkers, and no other line may be.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import jobd
from jobd import IterableJob, Job, enumerators, job

MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


class ApplicationJob(Job):
    retry = 5


class GreetingJob(ApplicationJob):
    def perform(self, name: str, times: int = 1) -> None: ...


class RowsJob(IterableJob):
    def build_enumerator(self, cursor: int | None, table: str) -> Iterator[tuple[str, int]]:
        return enumerators.sequence([table], cursor)

    def each_iteration(self, row: str) -> None: ...


@job
def add(x: int, y: int = 2) -> int:
    return x + y


# Calls

GreetingJob.perform_async("Ada", times=3)
GreetingJob.perform_async()  # wrong
GreetingJob.perform_async(3)  # wrong
GreetingJob.perform_async("Ada", 3, 4)  # wrong
GreetingJob.perform_async("Ada", time=3)  # wrong
GreetingJob.perform_async("Ada", times="3")  # wrong
GreetingJob.perform_later("Ada", "3")  # wrong
GreetingJob.perform_in(timedelta(minutes=1), "Ada", 3)
GreetingJob.perform_in("Ada", 3)  # wrong
GreetingJob.perform_in(60)  # wrong
GreetingJob.perform_in(MOMENT, "Ada")  # wrong
GreetingJob.perform_at(MOMENT, "Ada")
GreetingJob.perform_at("tomorrow", "Ada")  # wrong
GreetingJob.perform_inline("Ada", times=3)
GreetingJob.perform_inline(times=3)  # wrong
GreetingJob.aperform_async(3)  # wrong
GreetingJob.aperform_at(MOMENT)  # wrong
GreetingJob.set(queue="low").aperform_in(60, 3)  # wrong
GreetingJob.set(queue="low").perform_async("Ada", 3)
GreetingJob.set(queue="low").perform_async(3)  # wrong
GreetingJob.set(queue="low").perform_in(60, "Ada", "3")  # wrong
GreetingJob.perform("Ada")  # wrong
GreetingJob.perform_asink("Ada")  # wrong
GreetingJob.perform_bulk("Ada", batch_size="2")  # wrong
ApplicationJob.perform_async()  # wrong
Job.perform_in(60)  # wrong
jobd.Jbo()  # wrong
RowsJob.perform_async("users")
RowsJob.perform_async(3)  # wrong
RowsJob.perform_async("users", 5)  # wrong
RowsJob.perform_at(MOMENT)  # wrong
enumerators.sequence({1, 2}, None)  # wrong
add.perform_async(1, y=3)
add.perform_async("1")  # wrong
add.perform_async()  # wrong
add.perform_in(60, 1, 2, 3)  # wrong
add.aperform_async("1")  # wrong
add.perform_at(MOMENT, "1")  # wrong
add.perform_inline(y=1)  # wrong
add.set(retry=0).perform_async(1, z=2)  # wrong
add("1", 2)  # wrong
