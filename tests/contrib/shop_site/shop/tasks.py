import asyncio
import os
import signal
import sys
from pathlib import Path

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


@task(backend="limited")
async def linger():
    try:
        await asyncio.sleep(3600)
    finally:
        record("lingered")


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


@task(takes_context=True, backend="kept")
def shaky(context):
    if context.attempt == 1:
        raise ValueError("not yet")
    return [context.attempt, context.task_result.attempts, len(context.task_result.errors)]


@task(backend="kept")
def doomed():
    os.kill(os.getpid(), signal.SIGKILL)


@task(backend="kept")
def held(path):
    with Path(path).open():  # a pipe: until somebody opens its other end
        return "let go"


@task(backend="kept")
def unkeepable():
    return {1: 2}


def no_task():
    record("no task")
