"""What mypy and pyright know of jobs; checked by `test_typing`, never run.

Each call that is wrong says what the checkers call the error. An ignore that ignores nothing is
an error too, so a call that they came to accept would show.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeAlias, TypeVar, assert_type

import jobd
from jobd import IterableJob, Job, enumerators, job
from jobd.jobs import FunctionJob, Setter
from jobd.testing import Queues, assert_enqueued, drain, fake, queues, refute_enqueued, use

MOMENT = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
Rows: TypeAlias = Iterator[tuple[str, int]]
T = TypeVar("T")


class ApplicationJob(Job):
    retry = 5


class MoodSenderJob(ApplicationJob):
    queue = "mailers"
    tags = ("mail",)

    def perform(self, email: str, mood: str = "fine", count: int = 1) -> None:
        assert_type(self.jid, str)
        self.logger.info("%s is %s, %d times", email, mood, count)


class PositionalJob(Job):
    def perform(self, first: int, second: list[str], /) -> str:
        return second[first]


class ManyJob(Job):
    def perform(self, *numbers: int) -> None: ...


class StaticJob(Job):
    @staticmethod
    def perform(number: int) -> None: ...


class ImportJob(ApplicationJob, Generic[T]):
    def parsed(self, line: str) -> T:
        raise NotImplementedError

    def perform(self, path: str, limit: int | None = None) -> None: ...


class UserImportJob(ImportJob[int]):
    def parsed(self, line: str) -> int:
        return int(line)


class RowsJob(IterableJob):
    def build_enumerator(self, cursor: int | None, table: str, limit: int = 5) -> Rows:
        return enumerators.sequence([table] * limit, cursor)

    def each_iteration(self, row: str, *given: Any) -> None:
        assert_type((row, given, self.cancelled), tuple[str, tuple[Any, ...], bool])
        self.finish()


@job
def add(x: int, y: int = 2) -> int:
    return x + y


@job(queue="low", retry=3)
def remind(email: str, urgent: bool = False) -> None: ...


# Calls

# Of classes

assert_type(MoodSenderJob.perform_async("a@b.c"), str | None)
assert_type(MoodSenderJob.perform_async("a@b.c", "happy"), str | None)
assert_type(MoodSenderJob.perform_async("a@b.c", mood="happy", count=2), str | None)
assert_type(MoodSenderJob.perform_async(email="a@b.c"), str | None)
assert_type(MoodSenderJob.perform_later("a@b.c", "happy"), str | None)
assert_type(MoodSenderJob.perform_in(60, "a@b.c"), str | None)
assert_type(MoodSenderJob.perform_in(0.5, "a@b.c", mood="happy"), str | None)
assert_type(MoodSenderJob.perform_in(HOUR, "a@b.c"), str | None)
assert_type(MoodSenderJob.perform_at(MOMENT, "a@b.c"), str | None)
assert_type(MoodSenderJob.perform_at(1_893_488_400, "a@b.c", "happy"), str | None)
assert_type(MoodSenderJob.perform_bulk([["a@b.c", "happy"], ("b@b.c",)]), list[str | None])
assert_type(MoodSenderJob.perform_inline("a@b.c", mood="happy"), None)
assert_type(MoodSenderJob.perform_now("a@b.c"), None)
assert_type(MoodSenderJob().perform("a@b.c", "happy"), None)
assert_type(PositionalJob.perform_async(0, ["a"]), str | None)
assert_type(PositionalJob().perform(0, ["a"]), str)
assert_type(ManyJob.perform_async(), str | None)
assert_type(ManyJob.perform_async(1, 2, 3), str | None)
assert_type(StaticJob.perform_async(1), str | None)
assert_type(UserImportJob.perform_async("users.csv", limit=3), str | None)
assert_type(UserImportJob.set(queue="low").perform_in(60, "users.csv"), str | None)
assert_type(UserImportJob().parsed("1"), int)
assert_type(MoodSenderJob.cancel("b4a577edbccf1d805744efa9"), bool)
assert_type(MoodSenderJob().cancelled, bool)
assert_type(add.cancel("b4a577edbccf1d805744efa9"), bool)

MoodSenderJob.perform_async()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
MoodSenderJob.perform_async(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
MoodSenderJob.perform_async("a", "b", 3, 4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
MoodSenderJob.perform_async("a", tone="b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
MoodSenderJob.perform_async("a", mood=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
MoodSenderJob.perform_later()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
MoodSenderJob.perform_in("a@b.c")  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
MoodSenderJob.perform_in(60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
MoodSenderJob.perform_in(60, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
MoodSenderJob.perform_in(MOMENT, "a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
MoodSenderJob.perform_at(HOUR, "a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
MoodSenderJob.perform_at(MOMENT, "a", 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
MoodSenderJob.perform_inline()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
MoodSenderJob.perform_now(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
MoodSenderJob.perform_bulk("a@b.c", batch_size="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
PositionalJob.perform_async(first=0, second=[])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
ManyJob.perform_async(1, "2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
UserImportJob.perform_async(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
StaticJob.perform_async("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
MoodSenderJob.cancel(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ApplicationJob.perform_async()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


# With await


async def pushes() -> None:
    assert_type(await MoodSenderJob.aperform_async("a@b.c", mood="happy"), str | None)
    assert_type(await MoodSenderJob.aperform_in(HOUR, "a@b.c"), str | None)
    assert_type(await MoodSenderJob.aperform_at(MOMENT, "a@b.c", "happy"), str | None)
    assert_type(await MoodSenderJob.aperform_bulk([["a@b.c"]], batch_size=2), list[str | None])
    assert_type(await MoodSenderJob.set(retry=0).aperform_async("a@b.c"), str | None)
    assert_type(await UserImportJob.aperform_async("users.csv", limit=3), str | None)
    assert_type(await RowsJob.aperform_async("users", limit=3), str | None)
    assert_type(await RowsJob.set(queue="low").aperform_in(60, "users"), str | None)
    assert_type(await add.aperform_async(1, y=2), str | None)
    assert_type(await add.set(queue="high").aperform_at(MOMENT, 1), str | None)
    assert_type(await jobd.apush({"class": "HardJob", "args": [1]}), str | None)

    await MoodSenderJob.aperform_async()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await MoodSenderJob.aperform_async(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await MoodSenderJob.aperform_in(60, "a", tone="b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await MoodSenderJob.aperform_at(HOUR, "a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await RowsJob.aperform_async(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await add.aperform_async("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await add.set(retry=0).aperform_in(60, 1, z=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# Of iterable jobs

assert_type(RowsJob.perform_async("users"), str | None)
assert_type(RowsJob.perform_async("users", limit=3), str | None)
assert_type(RowsJob.perform_in(HOUR, "users", 3), str | None)
assert_type(RowsJob.perform_at(MOMENT, "users"), str | None)
assert_type(RowsJob.perform_inline("users"), None)
assert_type(RowsJob.set(queue="low").perform_async("users", limit=3), str | None)
assert_type(RowsJob.perform_bulk([["users", 3]]), list[str | None])
assert_type(RowsJob.jobs, list[dict[str, Any]])
assert_type(
    list(enumerators.batches(enumerators.sequence("ab", 0), 2)), list[tuple[list[str], int]]
)

RowsJob.perform_async()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
RowsJob.perform_async(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RowsJob.perform_in(60, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RowsJob.set(queue="low").perform_async(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Options of one push

urgent = MoodSenderJob.set(queue="critical", wait=HOUR)
assert_type(urgent.perform_async("a@b.c", mood="happy"), str | None)
assert_type(urgent.set(retry=0).perform_async("a@b.c"), str | None)
assert_type(urgent.perform_in(60, "a@b.c"), str | None)
assert_type(urgent.perform_at(MOMENT, "a@b.c", "happy"), str | None)
assert_type(urgent.perform_inline("a@b.c"), None)
assert_type(urgent.perform_bulk([["a@b.c"]], spread_interval=60), list[str | None])
assert_type(ManyJob.set(retry=0).perform_async(1, 2), str | None)

urgent.perform_async()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
urgent.perform_async("a", 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
urgent.set(retry=0).perform_async("a", tone="b")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
urgent.perform_in(60, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
urgent.perform_at("now", "a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
urgent.perform_inline(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Functions

assert_type(add(1, 2), int)
assert_type(add, FunctionJob[[int, int], int])  # type: ignore[assert-type]  # pyright: ignore[reportAssertTypeFailure]
assert_type(add.perform_async(1), str | None)
assert_type(add.perform_async(x=1, y=2), str | None)
assert_type(add.perform_later(1, y=2), str | None)
assert_type(add.perform_in(HOUR, 1), str | None)
assert_type(add.perform_at(MOMENT, 1, 2), str | None)
assert_type(add.perform_inline(1), None)
assert_type(add.perform_bulk([[1], [1, 2]], at=60), list[str | None])
assert_type(add.set(queue="high").perform_async(1, 2), str | None)
assert_type(add.job_class, type[Job])
assert_type(remind("a@b.c", urgent=True), None)
assert_type(remind.perform_async("a@b.c", urgent=True), str | None)

add("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
add.perform_async()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
add.perform_async("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
add.perform_async(1, 2, 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
add.perform_async(1, z=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
add.perform_in(60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
add.perform_at(MOMENT, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
add.perform_inline(1, "2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
add.set(queue="high").perform_async("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
remind.perform_async(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
remind.perform_async("a", urgent="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Tests

assert_type(MoodSenderJob.jobs, list[dict[str, Any]])
assert_type(MoodSenderJob.drain(), int)
assert_type(MoodSenderJob.drain(until=MOMENT), int)
assert_type(MoodSenderJob.perform_one(), None)
assert_type(MoodSenderJob.clear(), None)
assert_type(add.jobs, list[dict[str, Any]])
assert_type(add.drain(until=60), int)
assert_type(add.perform_one(), None)
assert_type(add.clear(), None)
assert_type(drain(), int)
assert_type(queues, Queues)
assert_type(queues["mailers"], list[dict[str, Any]])
assert_type(assert_enqueued(MoodSenderJob, args=["a@b.c"], at=MOMENT, within=5), list[jobd.Payload])
assert_type(assert_enqueued(add, args=(1,), within=HOUR, count=2), list[jobd.Payload])
assert_type(refute_enqueued("HardJob", queue="ruby"), None)
with fake(), use("inline"):
    pass

with jobd.embed(queues=["low"], timeout=5) as embedded:
    assert_type(embedded, jobd.Embedded)
    assert_type(embedded.stop(3), bool)

use("faked")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_enqueued(int)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_enqueued(add, count="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
refute_enqueued(add, count=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
MoodSenderJob.drain(60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# Names

assert_type(Setter(MoodSenderJob).perform_async("a@b.c"), str | None)
assert_type(jobd.push({"class": "HardJob", "args": [1]}), str | None)
