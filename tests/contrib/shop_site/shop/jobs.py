import asyncio
import multiprocessing
import sqlite3
import threading

from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction

from jobd import Job, job
from shop.models import Order
from shop.record import record

_kept = []
_three = threading.Barrier(3)


class Confirm(Job):
    def perform(self, order_id):
        record("confirmed", name=Order.objects.get(pk=order_id).name, jid=self.jid)


class Careless(Job, enqueue_on_commit=False):
    def perform(self):
        pass


class Connections(Job):
    """Tells which connection it finds, and which it leaves."""

    def perform(self, how):
        record("connection", found=connection.connection is not None)
        Order.objects.count()
        if how == "manual":
            connection.set_autocommit(False)
        if how == "broken":
            connection.errors_occurred = True
            connection.connection.close()


class Beside(Job):
    """Runs beside two others, and tells which connection it found and uses."""

    def perform(self):
        found = connection.connection is not None
        with transaction.atomic():
            Order.objects.count()
            _three.wait(60)  # all three are in a transaction
        _kept.append(connection.connection)  # so that its id never comes again
        thread = threading.current_thread().name
        record("beside", found=found, connection=id(connection.connection), thread=thread)


class LeavesOpen(Job):
    """Begins a transaction that it does not end."""

    def perform(self):
        transaction.atomic().__enter__()
        Order.objects.create(name="in limbo")
        greet.perform_async("in limbo")


class Ages(Job):
    """Uses the connection that is kept for ever, and tells which it is."""

    def perform(self, how):
        other = connections["other"]
        with other.cursor() as cursor:
            cursor.execute("SELECT 1")
        _kept.append(other.connection)  # so that its id never comes again
        record("used", connection=id(other.connection))
        if how == "dropped":
            other.connection.close()


class Loops(Job):
    """Runs another job inline, in a transaction and in the middle of a query."""

    def perform(self):
        for name in ("a", "b", "c"):
            Order.objects.create(name=name)
        with transaction.atomic():
            for order in Order.objects.iterator(chunk_size=1):
                Confirm.perform_inline(order.pk)
            Order.objects.create(name="after")
        record("looped", orders=Order.objects.count())


class Forking(Job):
    def perform(self):
        Order.objects.create(name="of the parent")
        mine = connection.connection
        child = multiprocessing.get_context("fork").Process(target=count, args=(id(mine),))
        child.start()
        child.join()
        record("parent", same=connection.connection is mine, orders=Order.objects.count())


class ConfirmAsync(Job):
    result_ttl = 60

    async def perform(self, order_id):
        order = await Order.objects.aget(pk=order_id)
        record("confirmed", name=order.name, jid=self.jid)


class Meets(Job):
    """Waits for others in the midst of what each reads, and tells if the last one's is closed."""

    barrier = asyncio.Barrier(3)

    async def perform(self):
        closed = await sync_to_async(_are_closed)()
        async for order in Order.objects.aiterator(chunk_size=1):
            await sync_to_async(_keep)()
            await self.barrier.wait()
            record("met", name=order.name, closed=closed)


class Fails(Job):
    async def perform(self):
        await sync_to_async(_leave_open)()
        raise KeyError("as told")


def _keep():
    connection.ensure_connection()
    _kept.append(connection.connection)


def _leave_open():
    _keep()
    transaction.atomic().__enter__()
    Order.objects.create(name="in limbo")


def _are_closed():
    closed = []
    for kept in _kept:
        try:
            kept.execute("SELECT 1")
        except sqlite3.ProgrammingError:
            closed.append(kept)
    return len(closed)


def count(inherited):
    before = connection.connection
    record(
        "child",
        had=before is not None,
        orders=Order.objects.count(),
        same=id(connection.connection) == inherited,
    )


@job
def greet(name):
    record("greeted", name=name)
