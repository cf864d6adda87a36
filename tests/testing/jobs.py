"""The jobs that are pushed here, and what they did."""

from typing import Any

from jobd import Job, job

RAN: list[Any] = []


class PostJob(Job):
    queue = "post"


class LetterJob(PostJob):
    def perform(self, to: str, lines: list[Any] | None = None) -> None:
        RAN.append((to, lines, self.jid, self.queue))


class PostcardJob(PostJob):
    def perform(self, to: str) -> None:
        RAN.append(to)


class ChainLetterJob(Job):
    def perform(self, more: int) -> None:
        RAN.append(more)
        if more:
            ChainLetterJob.perform_async(more - 1)


class DailyLetterJob(Job):
    def perform(self) -> None:
        RAN.append("daily")
        DailyLetterJob.perform_in(86_400)


class LostLetterJob(Job):
    def perform(self, to: str) -> None:
        RAN.append(to)
        raise LookupError(to)

    @classmethod
    def retries_exhausted(cls, payload: object, error: BaseException) -> None:
        RAN.append((payload, error))


@job(queue="scales")
def weigh(grams: int, unit: str = "g") -> str:
    RAN.append((grams, unit))
    return f"{grams} {unit}"
