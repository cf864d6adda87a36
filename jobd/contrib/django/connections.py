"""Database connections of a worker: none that is stale, none that another process holds too.

Around each job happens what Django does around each request. A job that leaves a transaction open
does not leave it to the next one, whose rows and pushes would wait in it for ever. A job that
forks (multiprocessing does) leaves its child none of its connections.

An async job awaits its queries in a thread, where its connections are; in a worker each has one of
its own, as a request has under ASGI: what is closed at its end, no other job has in use.
"""

import inspect
import os
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, Final

from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.db import close_old_connections, connections, reset_queries

from jobd import log
from jobd.app import App
from jobd.jobs import Job
from jobd.middleware import ServerCall
from jobd.payload import Payload

_inherited: Final[list[object]] = []  # only ever filled in a child that was just forked
# A job that another one runs inline is on the connections, and in the transaction, of that one.
_is_in_job: Final[ContextVar[bool]] = ContextVar("jobd.contrib.django.is_in_job", default=False)


def guard(app: App) -> None:
    """Keep the connections of this server process clean: around jobs and after forks."""
    app.server_middleware.prepend(with_usable_connections)
    os.register_at_fork(after_in_child=forget_inherited)


def with_usable_connections(job: Job, payload: Payload, proceed: ServerCall) -> None:
    """The middleware: no connection is older than ``CONN_MAX_AGE`` or was left as it must not be.

    That is broken, without autocommit, or in a transaction.
    """
    if _is_in_job.get():
        proceed(job, payload)
        return
    if job.__is_async__ and job.__run__ is not None:
        _await_queries_in_a_thread_of_its_own(job)
    token = _is_in_job.set(True)
    reset_queries()  # under DEBUG they would pile up
    close_old_connections()
    try:
        proceed(job, payload)
    finally:
        _is_in_job.reset(token)
        _roll_back_what_is_open()
        close_old_connections()


def run_on_these(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run an async job inline: its queries are on the connections of this thread, in their blocks.

    Raises:
        BaseException: what the coroutine raised.
    """

    async def run() -> Any:
        return await coroutine

    return async_to_sync(run)()


def _await_queries_in_a_thread_of_its_own(job: Any) -> None:
    perform = job.perform

    def performing(*args: Any) -> Any:
        returned = perform(*args)
        return with_a_thread(returned) if inspect.iscoroutine(returned) else returned

    job.perform = performing


async def with_a_thread(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that has a thread for its queries; no connection of it is left."""
    async with ThreadSensitiveContext():
        try:
            return await coroutine
        finally:
            await sync_to_async(_close_all)()


def _close_all() -> None:
    _roll_back_what_is_open()
    connections.close_all()


def _roll_back_what_is_open() -> None:
    for wrapper in connections.all(initialized_only=True):
        # close_old_connections() would leave it closed and in its block, of no more use to anybody.
        if wrapper.in_atomic_block:
            log.event(
                "the job left a transaction open: it is rolled back, with its pushes; let "
                "transaction.atomic() end in the job",
                level="error",
                database=wrapper.alias,
            )
            wrapper.close()
            del connections[wrapper.alias]


def forget_inherited() -> None:
    """In a child: let go of the parent's connections, so that it opens its own.

    They are kept and never closed: a goodbye on the shared socket ends the parent's session, and
    SQLite forbids even the closing of what another process opened.
    """
    for wrapper in connections.all(initialized_only=True):
        pools: Any = getattr(wrapper, "_connection_pools", None)  # PostgreSQL's, since Django 5.1
        if wrapper.connection is not None or pools:
            _inherited.append((wrapper, dict(pools or {})))
            if pools:
                pools.clear()
            del connections[wrapper.alias]
