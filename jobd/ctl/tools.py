"""The commands that know no job: any command to Redis, and the files of a new job."""

import json
import sys
from pathlib import Path
from typing import Any, cast

import click

from jobd import generator
from jobd.ctl.operator import Operator, everywhere


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@everywhere
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def redis(operator: Operator, *, command: tuple[str, ...]) -> None:
    """Send any COMMAND to Redis. Also to the private one: redis LLEN queue:low."""
    reply = operator.redis.call(*command)
    is_terminal = sys.stdout.isatty()
    operator.show(_plain(reply), _as_redis_cli(reply) if is_terminal else _raw(reply))


@click.command()
@everywhere
@click.argument("kind", metavar="job", type=click.Choice(["job"]))
@click.argument("name")
@click.option("--function", "is_function", is_flag=True, help="A function, not a class.")
@click.option("--async", "is_async", is_flag=True, help="One that is an async def.")
@click.option("--queue", metavar="QUEUE", help="Where it waits (default).")
@click.option("--dir", "job_dir", metavar="DIR", help="Where its file goes.")
@click.option("--test-dir", metavar="DIR", help="Where the file of its test goes.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.pass_obj
def new(operator: Operator, /, *, kind: str, name: str, dry_run: bool, **wish: Any) -> None:
    """Write the files of a job and its test. Such as: new job mood_sender."""
    del kind
    plan = generator.plan(generator.Wish(name=name, **wish), Path.cwd())
    if dry_run:
        plan.check()
    else:
        plan.write()
    job, test = (str(path) for path, _ in plan.files)
    said = "would create" if dry_run else "created"
    way = f", or import it in {plan.importer}" if plan.importer else ""
    text = (
        f"{said} {job}\n{said} {test}\n\n"
        f"test it: python -m pytest {test}\nlet jobd find it: require: [{plan.require}]{way}"
    )
    operator.show({"job": job, "test": test, "require": plan.require}, text)


def _raw(reply: object) -> str:
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "backslashreplace")
    if isinstance(reply, list):
        return "\n".join(_raw(each) for each in cast("list[object]", reply))
    return "" if reply is None else str(reply)


def _plain(reply: object) -> object:
    if isinstance(reply, list):
        return [_plain(each) for each in cast("list[object]", reply)]
    return _raw(reply) if isinstance(reply, bytes) else reply


def _as_redis_cli(reply: object, indent: str = "") -> str:
    """As redis-cli shows it on a terminal, where an empty text and none must look different."""
    if isinstance(reply, list):
        found = cast("list[object]", reply)
        width = len(str(len(found))) + 2
        heads = [f"{number})".ljust(width) for number in range(1, len(found) + 1)]
        lines = [
            f"{'' if number == 0 else indent}{head}{_as_redis_cli(each, indent + ' ' * width)}"
            for number, (head, each) in enumerate(zip(heads, found, strict=True))
        ]
        return "\n".join(lines) or "(empty array)"
    if isinstance(reply, bytes):
        return json.dumps(_raw(reply), ensure_ascii=False)
    return "(nil)" if reply is None else f"(integer) {reply}"
