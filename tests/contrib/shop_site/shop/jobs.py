import multiprocessing

from django.db import connection

from jobd import Job, job
from shop.models import Order
from shop.record import record


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


class Forking(Job):
    def perform(self):
        Order.objects.create(name="of the parent")
        mine = connection.connection
        child = multiprocessing.get_context("fork").Process(target=count, args=(id(mine),))
        child.start()
        child.join()
        record("parent", same=connection.connection is mine, orders=Order.objects.count())


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
