"""Pushing when a transaction commits, with the jid known at once; what frameworks have in common.

Arguments, options and middleware are checked where the push is called; only the write waits. A
rollback, of a savepoint too, drops it. If Redis cannot be reached then, the error comes out of the
commit, which has happened by that time.

Source: Sidekiq's lib/sidekiq/transaction_aware_client.rb.
"""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from jobd.client import Client, Prepared
from jobd.errors import RedisError, RedisUnavailable
from jobd.payload import Payload, When

OnPushed: TypeAlias = Callable[[Prepared], object]

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

    def push(self, item: Mapping[str, Any], *, on_pushed: OnPushed | None = None) -> str | None:
        """Push one job; ``on_pushed`` waits as the write does."""
        return super().push(item, on_pushed=self._late(on_pushed))

    def push_bulk(
        self,
        item: Mapping[str, Any],
        *,
        batch_size: int | None = None,
        at: When | Sequence[When] | None = None,
        spread_interval: float | None = None,
        on_pushed: OnPushed | None = None,
    ) -> list[str | None]:
        """Push many jobs; ``on_pushed`` waits as the writes do."""
        return super().push_bulk(
            item,
            batch_size=batch_size,
            at=at,
            spread_interval=spread_interval,
            on_pushed=self._late(on_pushed),
        )

    def _admit(self, payload: Payload, at_s: float | None) -> Prepared | None:
        # Here, where all ways of pushing and running inline meet, so that it is never written. It
        # may be no JSON; what middleware chooses instead is.
        choice = payload.pop(OPTION, None)
        ready = super()._admit(payload, at_s)
        return None if ready is None else _Chosen.of(ready, ready.payload.pop(OPTION, choice))

    def _write(self, jobs: Sequence[Prepared]) -> None:
        waiting: dict[Hashable, list[Prepared]] = {}
        at_once: list[Prepared] = []
        for job in jobs:
            transaction = self.open_transaction(_choice(job))
            (at_once if transaction is None else waiting.setdefault(transaction, [])).append(job)
        super()._write(at_once)
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

    def _late(self, on_pushed: OnPushed | None) -> OnPushed | None:
        if on_pushed is None:
            return None

        def late(job: Prepared) -> None:
            transaction = self.open_transaction(_choice(job))
            if transaction is None:
                on_pushed(job)
            else:  # after the write, which waits already
                self.on_commit(partial(on_pushed, job), transaction)

        return late


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
