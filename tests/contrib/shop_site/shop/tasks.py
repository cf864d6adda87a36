import asyncio
import os
import signal
import sys

from shop.record import record

try:
    from django.tasks import task
except ImportError:
    from django_tasks import task


@task
def add(x, y=2):
    return x + y


@task
def echo(*args, **kwargs):
    record("echoed", args=list(args), kwargs=kwargs)
    return [list(args), kwargs]


@task(queue_name="low")
def lowly():
    record("lowly")


@task
async def slowly(name):
    await asyncio.sleep(0)
    record("slowly", name=name)
    return name


@task(takes_context=True)
def introspect(context, extra):
    record("introspected", id=context.task_result.id, attempt=context.attempt, extra=extra)


@task(takes_context=True)
def mortal(context):
    record("mortal", id=context.task_result.id, attempt=context.attempt)
    if context.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)


@task(backend="once")
def wrong():
    raise ValueError("wrong order")


@task(backend="once")
def wrong_inside():
    try:
        raise KeyError("the inner one")
    except KeyError as error:
        raise RuntimeError("the outer one") from error


@task(backend="once")
def leave():
    sys.exit(3)


@task
def unfit():
    record("unfit")
    return {1, 2}


def no_task():
    record("no task")
