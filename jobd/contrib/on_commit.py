"""Pushing when a transaction commits, with the jid known at once; what frameworks have in common.

Arguments, options and middleware are checked where the push is called; only the write waits. A
rollback, of a savepoint too, drops it. If Redis cannot be reached then, the error comes out of the
commit, which has happened by that time.

Source: Sidekiq's lib/sidekiq/transaction_aware_client.rb.
"""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from jobd.client import Client, OnPushed, Prepared, in_thread
from jobd.errors import RedisError, RedisUnavailable
from jobd.payload import Payload

_Waiting: TypeAlias = dict[Hashable, list[Prepared]]

OPTION: Final = "enqueue_on_commit"
"""The option of a job or of one push, which never travels: False to write at once."""


class OnCommitClient(Client):
    """A client whose writes wait for the transaction in which they are made, if there is one."""

    @abstractmethod
    def open_transaction(self, choice: object) -> Hashable | None:
        """The open transaction that a push has to wait for, or None.

        Args:
            choice: of the push, in `OPTION`; None if it makes none.

        Raises:
            InvalidJob: the choice makes no sense.
        """

    @abstractmethod
    def on_commit(self, function: Callable[[], object], transaction: Any) -> None:
        """Call the function when this transaction commits."""

    def _admit(self, payload: Payload, at_s: float | None) -> Prepared | None:
        # Here, where all ways of pushing and running inline meet, so that it is never written. It
        # may be no JSON; what middleware chooses instead is.
        choice = payload.pop(OPTION, None)
        ready = super()._admit(payload, at_s)
        return None if ready is None else _Chosen.of(ready, ready.payload.pop(OPTION, choice))

    def _write(self, jobs: Sequence[Prepared]) -> None:
        at_once, waiting = self._sorted(jobs)
        super()._write(at_once)
        self._keep(waiting)

    async def _awrite(self, jobs: Sequence[Prepared]) -> None:
        # Not in the thread that writes, which may have other transactions.
        at_once, waiting = self._sorted(jobs)
        if at_once:
            await in_thread(super()._write, at_once)
        self._keep(waiting)

    def _sorted(self, jobs: Sequence[Prepared]) -> tuple[list[Prepared], _Waiting]:
        """Those to write now, and those that wait."""
        waiting: _Waiting = {}
        at_once: list[Prepared] = []
        for job in jobs:
            transaction = self.open_transaction(_choice(job))
            (at_once if transaction is None else waiting.setdefault(transaction, [])).append(job)
        return at_once, waiting

    def _keep(self, waiting: _Waiting) -> None:
        for transaction, late in waiting.items():
            self.on_commit(partial(self._write_late, late), transaction)

    def _write_late(self, jobs: Sequence[Prepared]) -> None:
        try:
            super()._write(jobs)
        except RedisError as error:
            if isinstance(error, RedisUnavailable):
                error.jid = jobs[0].payload["jid"]
            error.add_note(f"the transaction is committed, without the push of {len(jobs)} jobs")
            raise

    def _announce(self, job: Prepared, on_pushed: OnPushed | None) -> str:
        transaction = None if on_pushed is None else self.open_transaction(_choice(job))
        if transaction is None:
            return super()._announce(job, on_pushed)
        # After the write, which waits already.
        self.on_commit(partial(super()._announce, job, on_pushed), transaction)
        jid: str = job.payload["jid"]
        return jid


class _Chosen(Prepared):
    """With what the push said of the option; the whole of it is still the pair."""

    choice: object

    @classmethod
    def of(cls, ready: Prepared, choice: object) -> "_Chosen":
        chosen = cls(*ready)
        chosen.choice = choice
        return chosen


def _choice(job: Prepared) -> object:
    return job.choice if isinstance(job, _Chosen) else None
