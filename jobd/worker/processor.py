"""One job-running loop: take a job, run it, settle it.

The steps of a job's life and nothing else: how it is fetched, executed and judged stand beside
this file. Source: Sidekiq's lib/sidekiq/processor.rb.
"""

import os
import random
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from jobd import faults, log, results
from jobd.connection import Backoff
from jobd.errors import (
    JobCancelled,
    JobPutOff,
    MalformedPayload,
    RedisError,
    RedisUnavailable,
    UnknownJob,
    WorkerKilled,
)
from jobd.jobs import Job
from jobd.jobs.iterable import IterableJob
from jobd.payload import decode, encode, name_inside, timestamp
from jobd.scoreboard import NO_JID
from jobd.server_clock import ServerClock
from jobd.store import PastError
from jobd.tallies import row_of
from jobd.worker.company import Company
from jobd.worker.execution import DONE, Failed, Interrupted, Outcome, execute
from jobd.worker.fetch import Fetcher, Grave, UnitOfWork
from jobd.worker.given import Application, Display, HandsOver, Rules
from jobd.worker.heeding import Heeding
from jobd.worker.retry import (
    MOST_RECOVERIES,
    Again,
    Bury,
    Discard,
    decide,
    message_of,
    past_error,
    record_failure,
    recoveries,
)
from jobd.worker.time_limit import forget_kill, limit_of, why_killed

_FORK_RETURNED: Final = 70


class Processor:
    """Runs one job at a time.

    Args:
        fetcher: where jobs come from and where they are settled.
        app: the user's jobs.
        rules: for those that fail.
        attention: what may interrupt a job.
        display: where this processor shows what it does.
        clock: ours and the server's.
        rng: spreads retries.

    Attributes:
        handing_over: of jobs to the loop; None if there is none.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        app: Application,
        rules: Rules,
        attention: Heeding,
        display: Display,
        clock: ServerClock,
        rng: random.Random,
    ) -> None:
        self._fetcher = fetcher
        self._app = app
        self._rules = rules
        self._attention = attention
        self._slot, self._title, self._tally = display.slot, display.title, display.tally
        self._clock = clock
        self._rng = rng
        self._company = attention.company
        self._is_ours = True
        os.register_at_fork(after_in_child=self._disown)
        self._backoff = Backoff(rng)
        self._returned: object = None  # by the last job that has a result
        self.handing_over: HandsOver | None = None

    def step(self) -> bool:
        """Take what one claim brings and see it through; False if that was nothing.

        Raises:
            RedisError: no job could be fetched. Nothing is in hand then.
        """
        unit = self._fetcher.retrieve()
        if unit is None:
            return False
        faults.point("claimed")
        attention, take, company = self._attention, self._fetcher.take, self._company
        attention.learn_cancelled()
        while unit is not None:
            if (
                attention.is_stopping
                or attention.is_quiet
                or not (company is None or company.join())
            ):
                log.clear_job()
                # The signal came while the claim was on its way, or during the last job.
                self.settle(partial(self._fetcher.give_back, unit))
                break
            has_ended = self.see_through(unit)
            if company is not None and has_ended:
                company.leave()
            unit = take()
        log.clear_job()
        return True

    def see_through(self, unit: UnitOfWork) -> bool:
        """Run a job and settle it; False if it was handed over, and still runs."""
        began_s = self._clock.now_s()
        # Before it is parsed: should that kill the worker, the job is charged with it.
        self._slot.hold(unit.raw, began_s)
        try:
            payload = decode(unit.raw)
        except MalformedPayload as error:
            log.clear_job()
            self._slot.start(unit.queue, "", NO_JID)
            self._bury_as_it_is(unit, error)
            self._slot.give_up()
        else:
            if self.handing_over is not None and self.handing_over.wants(payload["class"]):
                return not self._hand_over(self.handing_over, unit, payload)
            self._run(unit, payload, began_s)
        return True

    def _hand_over(self, way: HandsOver, unit: UnitOfWork, payload: dict[str, Any]) -> bool:
        if self._fetcher.holds:
            self._slot.give_up()  # while it waits, nothing that happens is charged to it
            return way.hand_over(unit, is_suspect=self._is_suspect(payload))
        # Should it be lost now, that is told.
        self._slot.start(unit.queue, payload["class"], str(payload.get("jid") or NO_JID))
        is_running = way.hand_over(unit, is_suspect=False)
        self._slot.give_up()
        return is_running

    def _run(self, unit: UnitOfWork, payload: dict[str, Any], began_s: float) -> None:
        name, jid = payload["class"], str(payload.get("jid") or NO_JID)
        log.set_job(jid, name, unit.queue)
        self._slot.start(unit.queue, name, jid)
        # Without a jid two jobs may be the same bytes: the end of one says nothing of the other.
        in_ring = None if jid == NO_JID else unit.raw
        title = self._title
        title.job = (name, began_s)
        if unit.is_alone:
            title.show_job()
        try:
            if jid in self._attention.cancelled_jids:
                self._drop(unit)
                self._slot.give_up()
            elif "recovered" in payload and self._has_killed(payload, MOST_RECOVERIES):
                # It shows in the slot, so it is charged if the app's hooks kill the worker too.
                self._fail(unit, WorkerKilled.often(payload), may_retry=False)
                self._slot.give_up()
            elif "timed_out" in payload or "outgrown" in payload:
                row = row_of(name_inside(payload), unit.queue)
                self._has_failed(unit, why_killed(payload), in_ring, row)
            elif self._company is not None and self._is_suspect(payload):
                self._run_alone(self._company, unit, payload, began_s)
            else:
                self._perform(unit, payload, in_ring)
        finally:
            title.job = None
            if title.is_shown and not unit.is_alone:
                title.show("idle")

    def _is_suspect(self, payload: dict[str, Any]) -> bool:
        """Whether it dies with the next worker that dies: that must not be a neighbour's doing."""
        return "recovered" in payload and self._has_killed(payload, MOST_RECOVERIES - 1)

    def _has_killed(self, payload: dict[str, Any], times: int) -> bool:
        progress = self._attention.progress
        kind = self._app.registry.find(payload["class"])
        is_iterable = kind is not None and issubclass(kind, IterableJob)
        if recoveries(payload) < times or progress is None or not is_iterable:
            return recoveries(payload) >= times
        # A job that comes further each time does not loop.
        return recoveries(payload) - progress.forgiven(payload) >= times

    def _run_alone(
        self, company: Company, unit: UnitOfWork, payload: dict[str, Any], began_s: float
    ) -> None:
        self._slot.give_up()  # while it waits, nothing that happens is charged to it
        if not company.send_away():
            self.settle(partial(self._fetcher.give_back, unit))
            return
        jid = str(payload.get("jid") or NO_JID)
        self._slot.hold(unit.raw, began_s)
        self._slot.start(unit.queue, payload["class"], jid)
        try:
            self._attention.learn_cancelled()  # it may have waited for long
            if jid in self._attention.cancelled_jids:
                self._drop(unit)
                self._slot.give_up()
            else:
                self._perform(unit, payload, None if jid == NO_JID else unit.raw)
        finally:
            company.let_in()

    def _perform(self, unit: UnitOfWork, payload: dict[str, Any], in_ring: bytes | None) -> None:
        tells_jobs = log.current.tells_jobs
        if tells_jobs:
            log.job_line("start")
        name = name_inside(payload) if "wrapped" in payload else payload["class"]
        row = row_of(name, unit.queue)  # before middleware has its say
        began = self._clock.monotonic()
        outcome = execute(self._attention.interruptible, self._call, payload)
        if not self._is_ours:
            # The job forked and its child came back to here: the job is not its to settle.
            os._exit(_FORK_RETURNED)
        self._attention.reclaim()
        log.flush_streams()
        elapsed_s = self._clock.monotonic() - began
        faults.point("performed")
        if outcome is not DONE:
            self._has_not_returned(unit, outcome, in_ring, elapsed_s, row)
            return
        if "result_ttl" in payload:
            self._keep_returned(payload)
        self._fetcher.acknowledge(unit)
        self._slot.finish(in_ring, failed=False)
        self._tally.count(row, int(elapsed_s * 1000))
        if tells_jobs:
            log.job_line("done", elapsed_s)

    def _keep_returned(self, payload: dict[str, Any]) -> None:
        """Before it is settled, so that who is killed in between leaves a job that runs again."""
        record = results.of_done(self._returned)
        if record["state"] == "unfit":
            reason = record["error_message"]
            log.event("what the job returned cannot be kept", level="error", reason=reason)
        faults.point("returned")
        self.settle(partial(self._app.keep_result, payload, record))

    def _call(self, payload: dict[str, Any]) -> None:
        kind = self._app.registry.find(payload["class"])
        if kind is None:
            raise UnknownJob(
                f"no job is called {payload['class']!r}: name the module that defines it in "
                "require, or give a job class this name"
            )
        if payload.get("time_limit", kind.time_limit) is not None:
            self._attention.limit(*limit_of(kind, payload))
        job = kind.from_payload(payload)
        job.__run__ = self._attention
        self._app.call(job, payload)
        if "result_ttl" in payload:
            self._returned = getattr(job, "__returned__", None)

    def _drop(self, unit: UnitOfWork, elapsed_s: float | None = None) -> None:
        """It is cancelled: neither retried nor dead, and no hook hears of it."""
        log.job_line("cancelled", elapsed_s)
        self._fetcher.acknowledge(unit)

    def _disown(self) -> None:
        self._is_ours = False

    # Failure

    def _has_not_returned(
        self,
        unit: UnitOfWork,
        outcome: Outcome,
        in_ring: bytes | None,
        elapsed_s: float,
        row: str,
    ) -> None:
        match outcome:
            case Failed(error):
                self._has_failed(unit, error, in_ring, row, elapsed_s)
            case Interrupted(reason) if not self._attention.was_interrupted:
                # Its own: given back, it would do so again and again.
                self._has_failed(unit, reason, in_ring, row, elapsed_s)
            case Interrupted(JobCancelled()):
                self._drop(unit, elapsed_s)
                self._slot.finish(in_ring, failed=False)
            case Interrupted(JobPutOff()):
                log.job_line("put off", elapsed_s)
                at_s = self._clock.server_s(self._clock.now_ms())
                self.settle(partial(self._fetcher.put_off, unit, at_s))
                self._slot.give_up()
            case _:
                log.job_line("interrupted", elapsed_s)
                self.settle(partial(self._fetcher.give_back, unit))
                self._slot.give_up()

    def _has_failed(
        self,
        unit: UnitOfWork,
        error: BaseException,
        in_ring: bytes | None,
        row: str,
        elapsed_s: float | None = None,
    ) -> None:
        _tell_failure(error, elapsed_s)
        if not issubclass(type(error), UnknownJob):  # isinstance() asks it, and it may raise
            self._tally.count_failure(row)
        is_discarded = self._fail(unit, error)
        self._slot.finish(in_ring if is_discarded else None, failed=True)

    def _fail(self, unit: UnitOfWork, error: BaseException, *, may_retry: bool = True) -> bool:
        """Settle a failure; True if nothing is kept, and the next claim acknowledges it."""
        # From the bytes again: what middleware did to the payload is not kept.
        payload = decode(unit.raw)
        forget_kill(payload)  # or its next run would be taken for killed too
        kind = self._app.registry.find(payload["class"])
        if payload.get("retry") is None:
            payload["retry"] = True if kind is None else kind.wire_options().get("retry", True)
        now_ms, wire = self._clock.now_ms(), self._rules.wire
        failed = record_failure(payload, error, queue=unit.queue, now_ms=now_ms, wire=wire)
        again = encode(failed)  # before the app's hooks see it: what they do to it is not kept
        decision = Bury() if not may_retry else self._decide(kind, failed, error, now_ms)
        is_discarded = False
        match decision:
            case Again(delay_s):
                at_s = self._clock.server_s(now_ms) + delay_s
                past = past_error(payload, delay_s)
                self.settle(partial(self._fetcher.retry, unit, again, at_s, past))
            case Bury():
                is_discarded = not self._bury(unit, kind, failed, error, now_ms)
            case Discard():
                is_discarded = True
                self._discard(unit, failed, error, now_ms)
        self._app.hooks.report_error(error, {"context": "job raised", "job": decode(unit.raw)})
        return is_discarded

    def _decide(
        self, kind: type[Job] | None, failed: dict[str, Any], error: BaseException, now_ms: int
    ) -> Again | Bury | Discard:
        def advise(count: int) -> Any:
            if kind is None:
                return None
            return self._app.hooks.call(kind.retry_in, count, error, dict(failed))

        return decide(
            failed,
            now_ms=now_ms,
            max_retries=self._rules.max_retries,
            advise=advise,
            rng=self._rng,
        )

    def _bury(
        self,
        unit: UnitOfWork,
        kind: type[Job] | None,
        failed: dict[str, Any],
        error: BaseException,
        now_ms: int,
    ) -> bool:
        """Bury it, unless it or its hook wants to be discarded instead; False then."""
        hooks = self._app.hooks
        # A hook that took a worker down with it is not called a second time.
        may_ask = recoveries(failed) <= MOST_RECOVERIES
        failed.pop("recovered", None)  # or it would be buried again when an operator retries it
        past = past_error(decode(unit.raw), self._rules.dead_timeout_s)
        grave = self._grave(encode(failed), now_ms, past)
        verdict: object = None
        if kind is not None and may_ask:
            verdict = hooks.call(_exhausted_of(kind), dict(failed), error)
        if failed.get("dead") is False or verdict == "discard":
            self._discard(unit, failed, error, now_ms)
            return False
        log.event("the job is dead", level="error", reason=failed["error_message"])
        self._keep_death(failed)
        self.settle(partial(self._fetcher.bury, unit, grave))
        hooks.report_death(failed, error)
        return True

    def _discard(
        self, unit: UnitOfWork, failed: dict[str, Any], error: BaseException, now_ms: int
    ) -> None:
        log.event("the job is discarded", level="warning", reason=failed["error_message"])
        self._keep_death(failed)
        self._fetcher.acknowledge(unit)
        failed["discarded_at"] = timestamp(now_ms, self._rules.wire)
        self._app.hooks.report_death(failed, error)

    def _keep_death(self, failed: dict[str, Any]) -> None:
        if "result_ttl" in failed:
            self.settle(partial(self._app.keep_result, failed, results.of_dead(failed)))

    def _bury_as_it_is(self, unit: UnitOfWork, error: MalformedPayload) -> None:
        log.event("not a job: buried as it is", level="error", queue=unit.queue, reason=str(error))
        grave = self._grave(unit.raw, self._clock.now_ms())
        self.settle(partial(self._fetcher.bury, unit, grave))
        self._app.hooks.report_error(error, {"context": "malformed payload", "raw": unit.raw})

    def _grave(self, raw: bytes, now_ms: int, past: PastError | None = None) -> Grave:
        rules, now_s = self._rules, self._clock.server_s(now_ms)
        return Grave(raw, now_s, rules.dead_max_jobs, rules.dead_timeout_s, past)

    def settle(self, settle: Callable[[], bool]) -> bool:
        """Carry out a settlement, however long the server is away.

        A job that cannot be settled before the worker must leave stays in its private list, and
        runs again; then it returns False.
        """
        while True:
            try:
                if not settle():
                    log.event(
                        "ownership lost: the job was taken over, and may run again, or the store "
                        "was emptied",
                        level="warning",
                    )
            except RedisError as error:
                if self._attention.is_out_of_time:
                    log.event("the job could not be settled", level="error", reason=str(error))
                    return False
                # An outage is told by the poller; a refusal is nobody else's to tell.
                level = "debug" if isinstance(error, RedisUnavailable) else "error"
                log.event("settling is tried again", level=level, reason=str(error))
                self._attention.wait_for_redis(self._backoff.next_s())
            else:
                self._backoff.reset()
                return True


def _exhausted_of(kind: type[Job]) -> Callable[..., object]:
    return kind.retries_exhausted


def _tell_failure(error: BaseException, elapsed_s: float | None) -> None:
    try:
        log.job_line("fail", elapsed_s, error)
    except Exception:  # noqa: BLE001 - an error whose attributes raise has no stack to show
        log.event("fail", level="error", elapsed=elapsed_s, reason=message_of(error))
