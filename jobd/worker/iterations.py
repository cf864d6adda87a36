"""The progress of iterable jobs in a worker: kept in Redis, and ended when the worker must leave.

The state is Sidekiq's, ``it-JID``, so its API and Web UI show it and either side goes on with it.
Unlike there, a run says at its beginning that it is the newest (``ex``), and one that has been
replaced saves nothing any more; the state lives for 30 days from the last save, not the first; and
it stays for a while, marked, when the job is done: a worker that is killed before the job is
acknowledged would have it begin again.

Source: Sidekiq's lib/sidekiq/job/iterable.rb and job/interrupt_handler.rb.
"""

from typing import Final, NoReturn

import msgspec

from jobd.clock import Clock
from jobd.connection import Connection, Reply
from jobd.errors import (
    JobInterrupted,
    JobPutOff,
    MalformedPayload,
    RedisError,
    RedisUnavailable,
)
from jobd.jobs.iterating import Left, Reached, Verdict
from jobd.keys import Keys
from jobd.link import Argument
from jobd.payload import Payload
from jobd.store import Script
from jobd.worker.heeding import Heeding
from jobd.worker.retry import recoveries

STATE_LIFE_S: Final = 30 * 86_400
DONE_LIFE_S: Final = 3_600
"""Long enough for a job of a killed worker to be recovered and claimed again."""

_BEGIN: Final = Script("iteration_begin")
_SAVE: Final = Script("iteration_save")
_VERDICTS: Final[dict[int, Verdict]] = {-1: "superseded", 0: "saved", 1: "cancelled"}


class KeptProgress:
    """Where the iterable jobs of a worker keep how far they have come; a ``Progress``.

    Args:
        connection: of its own, since a job may be interrupted while it is used.
        keys: the names of the keys.
        attention: knows what was asked of the worker.
        clock: for intervals.
        patience_s: what a running job gets when the worker stops.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        *,
        attention: Heeding,
        clock: Clock,
        patience_s: float,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._attention = attention
        self.clock = clock
        self.patience_s = patience_s

    def begin(self, payload: Payload) -> Left:
        """Become the newest run.

        Raises:
            RedisError: what earlier ones have left is not known.
            MalformedPayload: what they have left is no JSON.
        """
        key = self._key(payload)
        run, cursor, runtime_s, items, cancelled, done = self._run(
            _BEGIN, key, STATE_LIFE_S, _born(payload)
        )
        try:
            return Left(
                run=run,
                cursor=None if cursor is None else msgspec.json.decode(cursor),
                runtime_s=float(runtime_s or 0),
                items=int(items or 0),
                is_cancelled=cancelled is not None,
                is_done=done is not None,
            )
        except ValueError as error:
            raise MalformedPayload(
                f"{key} is no state of an iterable job ({error}): delete it for the job to begin "
                "again"
            ) from error

    def save(self, payload: Payload, reached: Reached) -> Verdict:
        """Keep how far it has come, if it is still the newest run."""
        fields: list[Argument] = ["c", msgspec.json.encode(reached.cursor)]
        fields += ["rt", repr(round(reached.runtime_s, 6)), "n", reached.items]
        if reached.is_further and (deaths := recoveries(payload)):
            fields += ["forgiven", deaths]
        if reached.is_done:
            fields += ["done", _born(payload)]
        life_s = DONE_LIFE_S if reached.is_done else STATE_LIFE_S
        verdict = self._run(_SAVE, self._key(payload), life_s, reached.run, *fields)
        return _VERDICTS[int(verdict)]

    def forgiven(self, payload: Payload) -> int:
        """How many deaths of its worker a job had when it last came further; all, if Redis errs."""
        try:
            return int(self._connection.call("HGET", self._key(payload), "forgiven") or 0)
        except (RedisError, ValueError):
            return recoveries(payload)

    def must_stop(self) -> bool:
        """Whether the worker was told to stop, or to take no more jobs for now."""
        return self._attention.is_stopping or self._attention.is_quiet

    def stop(self) -> NoReturn:
        """The job goes back, to run next.

        Raises:
            JobInterrupted: always.
        """
        self._attention.end_job(JobInterrupted())

    def give_way(self) -> NoReturn:
        """The job goes to the back of its queue.

        Raises:
            JobPutOff: always.
        """
        self._attention.end_job(JobPutOff())

    def _key(self, payload: Payload) -> str:
        return self._keys.iteration(str(payload.get("jid", "")))

    def _run(self, script: Script, key: str, *arguments: Argument) -> Reply:
        try:
            return self._run_once(script, key, *arguments)
        except RedisUnavailable:
            # The server may have closed an idle connection; each script may be sent again.
            return self._run_once(script, key, *arguments)

    def _run_once(self, script: Script, key: str, *arguments: Argument) -> Reply:
        try:
            return script.run(self._connection, 1, key, *arguments)
        except RedisError:
            raise
        except BaseException:  # of a signal, in the middle of a reply
            self._connection.close()  # or the rest of it would answer the next command
            raise


def _born(payload: Payload) -> str:
    """Tells a job from another one that was pushed with the same jid."""
    return str(payload.get("created_at", ""))
