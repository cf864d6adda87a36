"""Pushing when the transaction commits, with the jid known at once.

Arguments, options and middleware are checked where the push is called; only the write waits. A
rollback, of a savepoint too, drops it. If Redis cannot be reached then, the error comes out of
the ``atomic`` block, whose changes are committed by that time.

Source: Sidekiq's lib/sidekiq/transaction_aware_client.rb.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.connection import ConnectionDoesNotExist

from jobd.client import Client, Prepared
from jobd.contrib.django import in_tests
from jobd.contrib.django.preferences import enqueue_on_commit
from jobd.errors import InvalidJob, RedisError, RedisUnavailable
from jobd.payload import Payload, When

OnPushed: TypeAlias = Callable[[Prepared], object]

OPTION: Final = "enqueue_on_commit"
"""The option of a job or of one push: True, False, or the alias of a database."""


class OnCommitClient(Client):
    """A client whose writes wait for the transaction in which they are made, if there is one."""

    def push(self, item: Mapping[str, Any], *, on_pushed: OnPushed | None = None) -> str | None:
        """Push one job; ``on_pushed`` waits as the write does."""
        return super().push(item, on_pushed=_late(on_pushed))

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
            on_pushed=_late(on_pushed),
        )

    def _admit(self, payload: Payload, at_s: float | None) -> Prepared | None:
        ready = super()._admit(payload, at_s)
        # Here, where all ways of pushing and running inline meet, so that it is never written.
        return None if ready is None else _Chosen.of(ready, ready.payload.pop(OPTION, None))

    def _write(self, jobs: Sequence[Prepared]) -> None:
        waiting: dict[str, list[Prepared]] = {}
        at_once: list[Prepared] = []
        for job in jobs:
            alias = open_transaction(_choice(job))
            (at_once if alias is None else waiting.setdefault(alias, [])).append(job)
        super()._write(at_once)
        for alias, late in waiting.items():
            in_tests.on_commit(partial(self._write_late, late), alias)

    def _write_late(self, jobs: Sequence[Prepared]) -> None:
        try:
            super()._write(jobs)
        except RedisError as error:
            if isinstance(error, RedisUnavailable):
                error.jid = jobs[0].payload["jid"]
            error.add_note(f"the transaction is committed, without the push of {len(jobs)} jobs")
            raise


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


def _late(on_pushed: OnPushed | None) -> OnPushed | None:
    if on_pushed is None:
        return None
    return lambda job: after_commit(partial(on_pushed, job), _choice(job))


def open_transaction(choice: object) -> str | None:
    """The database whose open transaction a push has to wait for, or None.

    Args:
        choice: of the push; None for the setting's.

    Raises:
        InvalidJob: it is neither True, False nor the alias of a database.
    """
    if choice is None:
        choice = enqueue_on_commit()
    if choice is False:
        return None
    alias = DEFAULT_DB_ALIAS if choice is True else choice
    try:
        connection: Any = connections[alias]
    except (ConnectionDoesNotExist, TypeError):
        raise InvalidJob(
            f"{OPTION}: True, False or an alias of DATABASES, not {choice!r}"
        ) from None
    return str(alias) if in_tests.is_in_transaction(connection) else None


def after_commit(function: Callable[[], object], choice: object) -> None:
    """Call the function when a push of this choice is written: after it, if that was called."""
    alias = open_transaction(choice)
    if alias is None:
        function()
    else:
        in_tests.on_commit(function, alias)
