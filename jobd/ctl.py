"""The ``jobctl`` command: what an operator asks of the queues, and pushes by hand; new jobs.

It imports no application: a job is pushed by its name, with the options given here. What it reads
and clears goes through ``api``; what it pushes goes through ``client``, as everybody's does.

Exit status: 0 done, 1 not done (refused by Redis, answered with no, not found), 64 the command
line is wrong, 69 Redis cannot be reached, 73 a file exists already or cannot be made, 78 the
configuration is wrong.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import click

from jobd import generator
from jobd._version import __version__
from jobd.api import (
    SET_NAMES,
    Access,
    JobRecord,
    JobSet,
    Process,
    ProcessSet,
    Queue,
    QueueSummary,
    SortedEntry,
    Stats,
    set_of,
)
from jobd.client import Client
from jobd.config import Config, Flags, load
from jobd.connection import Pool
from jobd.errors import ConfigError, InvalidJob, RedisError, RedisUnavailable
from jobd.keys import Keys
from jobd.store import Store

EX_FAILED = 1
EX_USAGE = 64
EX_UNAVAILABLE = 69
EX_CANTCREAT = 73
EX_CONFIG = 78

_LONGEST_CELL = 60

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Operator:
    """What was said before or after the command, and the Redis that follows from it."""

    config: str | None = None
    environment: str | None = None
    as_json: bool = False

    keys = Keys()

    @cached_property
    def settings(self) -> Config:
        """As the server would read them."""
        return load(Flags(config=self.config, environment=self.environment))

    @cached_property
    def redis(self) -> Pool:
        """The configured store; it connects at the first command."""
        return Pool(self.settings.redis)

    @cached_property
    def access(self) -> Access:
        """The same, with the rules of the settings."""
        settings = self.settings
        return Access(
            redis=self.redis,
            keys=self.keys,
            wire=settings.wire,
            dead_limits=(settings.dead_max_jobs, settings.dead_timeout_s),
        )

    def jobs(self, place: str) -> Queue | JobSet:
        """A set by its name, else the queue of that name."""
        if place in SET_NAMES:
            return set_of(place, access=self.access)
        return Queue(place, access=self.access)

    def show(self, answer: object, text: str) -> None:
        """Print the answer for a program, or the text for a person."""
        click.echo(json.dumps(answer, indent=2) if self.as_json else text)


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    operator = context.ensure_object(Operator)
    if value:
        setattr(operator, str(parameter.name), value)


def _everywhere(command: Command) -> Command:
    """The options that may stand before or after the command."""
    option = partial(click.option, expose_value=False, callback=_remember)
    for each in (
        option("--json", "as_json", is_flag=True, help="Answer in JSON."),
        option("-e", "--environment", metavar="ENV", help="Its section."),
        option("-C", "--config", metavar="FILE", help="The YAML file with the settings."),
    ):
        command = each(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@_everywhere
@click.version_option(__version__, "-V", "--version", message="jobctl %(version)s")
def jobctl() -> None:
    """Look into the queues of jobd, and push jobs."""


@jobctl.command()
@_everywhere
@click.argument("name")
@click.argument("args", metavar="[ARGS-JSON]", default="[]")
@click.option("--queue", metavar="QUEUE", default="default", help="Where it waits (default).")
@click.option("--in", "delay_s", metavar="SECONDS", type=click.FloatRange(min=0), help="Later.")
@click.option("--at", metavar="TIME", help="2026-12-24T18:00Z, or seconds since the epoch.")
@click.pass_obj
def push(
    operator: Operator, *, name: str, args: str, queue: str, delay_s: float | None, at: str | None
) -> None:
    """Push a job by its NAME, with arguments as a JSON array: push Echo '["hello", 1]'."""
    if delay_s is not None and at is not None:
        raise click.UsageError("--in and --at: give one of them")
    item: dict[str, Any] = {"class": name, "args": _arguments(args), "queue": queue}
    if at is not None:
        item["at"] = _moment(at)
    elif delay_s is not None:
        item["at"] = timedelta(seconds=delay_s)
    store = Store(operator.redis, operator.keys)
    jid = Client(lambda: store, wire=operator.settings.wire).push(item)
    operator.show({"jid": jid}, str(jid))


@jobctl.command()
@_everywhere
@click.pass_obj
def status(operator: Operator) -> None:
    """The server, the queues, and the processes that work on them."""
    stats = Stats(access=operator.access)
    server, totals, queues = stats.server(), stats.totals(), stats.queues()
    processes = ProcessSet(access=operator.access).all()
    url = operator.settings.redis.masked_url
    answer = {
        "redis": {"url": url, **asdict(server)},
        "totals": asdict(totals),
        "queues": [asdict(queue) for queue in queues],
        "processes": [process.as_dict() for process in processes],
    }
    counts = "  ".join(f"{name} {count:,}" for name, count in asdict(totals).items())
    text = (
        f"{url}  ({server.kind} {server.version}, database {server.database})\n{counts}\n\n"
        f"{_queue_table(queues)}\n\n{_process_table(processes)}"
    )
    operator.show(answer, text)


@jobctl.command()
@_everywhere
@click.pass_obj
def queues(operator: Operator) -> None:
    """Every queue with its size and the age of the job that runs next."""
    found = Stats(access=operator.access).queues()
    operator.show([asdict(queue) for queue in found], _queue_table(found))


@jobctl.command()
@_everywhere
@click.argument("place", metavar="QUEUE|schedule|retry|dead")
@click.option("--page", metavar="N", type=click.IntRange(min=1), default=1, help="From 1.")
@click.option("--size", metavar="N", type=click.IntRange(1, 1000), default=25, help="Jobs a page.")
@click.pass_obj
def jobs(operator: Operator, *, place: str, page: int, size: int) -> None:
    """Jobs of a queue or a set, those that run next first."""
    found = operator.jobs(place)
    entries = found.page(page, size)
    first = (page - 1) * size + 1
    count = found.size
    text = _job_table(entries) if entries else "no jobs here"
    if entries and count > len(entries):
        text += f"\n\n{first:,} to {first + len(entries) - 1:,} of {count:,}; see --page"
    operator.show([_job_answer(entry) for entry in entries], text)


@jobctl.command()
@_everywhere
@click.argument("place", metavar="[QUEUE|schedule|retry|dead]", required=False)
@click.option("--all", "everything", is_flag=True, help="All queues and all three sets.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def clear(operator: Operator, *, place: str | None, everything: bool, yes: bool) -> None:
    """Delete all jobs of a queue or a set; running jobs are not touched."""
    if everything == bool(place):
        raise click.UsageError("name one queue or set to clear, or give --all")
    places: Sequence[Queue | JobSet] = (
        _all_places(operator) if everything else [operator.jobs(str(place))]
    )
    for each in places:
        if isinstance(each, Queue) and not everything and not each.is_known:
            _end(EX_FAILED, f"there is no queue {each.name}; jobctl queues lists them")
    what = "everything" if everything else str(place)
    if not yes:
        _ask(f"delete {sum(each.size for each in places):,} jobs of {what}?")
    cleared = {each.name: each.clear() for each in places}
    operator.show({"cleared": cleared}, f"{sum(cleared.values()):,} jobs deleted from {what}")


@jobctl.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_everywhere
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def redis(operator: Operator, *, command: tuple[str, ...]) -> None:
    """Send any COMMAND to the configured store, also the embedded one: redis LLEN queue:low."""
    reply = operator.redis.call(*command)
    is_terminal = sys.stdout.isatty()
    operator.show(_plain(reply), _as_redis_cli(reply) if is_terminal else _raw(reply))


@jobctl.command()
@_everywhere
@click.argument("kind", metavar="job", type=click.Choice(["job"]))
@click.argument("name")
@click.option("--function", "is_function", is_flag=True, help="A function, not a class.")
@click.option("--async", "is_async", is_flag=True, help="Not yet.")
@click.option("--queue", metavar="QUEUE", help="Where it waits (default).")
@click.option("--dir", "job_dir", metavar="DIR", help="Where its file goes.")
@click.option("--test-dir", metavar="DIR", help="Where the file of its test goes.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.pass_obj
def new(
    operator: Operator, /, *, kind: str, name: str, is_async: bool, dry_run: bool, **wish: Any
) -> None:
    """Write the files of a new job and of its test: new job mood_sender."""
    if is_async:
        raise click.UsageError(f"--async: no async {kind} can be run yet; leave it out")
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


# What people type


def _arguments(text: str) -> list[object]:
    try:
        found: object = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 20) : error.pos + 20]
        raise click.UsageError(
            f"ARGS-JSON is not JSON: {error.msg} at character {error.pos + 1}, near {near!r}; "
            """it is an array in quotes of the shell: '["a@b.c", 3]'"""
        ) from error
    if not isinstance(found, list):
        raise click.UsageError(
            f"ARGS-JSON must be an array, one element for each argument: '[{text}]'"
        )
    return cast("list[object]", found)


def _refuse_constant(name: str) -> NoReturn:
    raise click.UsageError(f"ARGS-JSON holds {name}, which is not JSON: use null or a text")


def _moment(text: str) -> datetime | float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(
            f"--at {text}: no time; give 2026-12-24T18:00Z or seconds since the epoch"
        ) from error
    if moment.utcoffset() is None:
        raise click.UsageError(f"--at {text}: has no time zone; add Z for UTC, or +02:00")
    return moment


def _all_places(operator: Operator) -> list[Queue | JobSet]:
    found = Stats(access=operator.access).queues()
    return [operator.jobs(name) for name in (*(queue.name for queue in found), *SET_NAMES)]


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is nobody to ask here: give --yes")
    if not click.confirm(question, err=True):
        _end(EX_FAILED, "nothing was deleted")


# What people read


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [list(head), *([_cell(text) for text in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _cell(text: str) -> str:
    """Cut to size, and without what would move the cursor of a terminal."""
    cut = text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 3]}..."
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in cut
    )


def _queue_table(queues: Sequence[QueueSummary]) -> str:
    if not queues:
        return "no queues yet"
    rows = [
        (
            queue.name,
            f"{queue.size:,}",
            _duration(queue.latency_s),
            "paused" if queue.is_paused else "",
        )
        for queue in queues
    ]
    return _table(("queue", "size", "latency", ""), rows)


def _process_table(processes: Sequence[Process]) -> str:
    if not processes:
        return "no jobd is running here"
    rows = [
        (
            process.identity,
            process.tag,
            f"{process.busy} of {process.concurrency}",
            f"{process.rss_kb // 1024} MB",
            f"{_duration(process.beat_age_s)} ago",
            ", ".join(process.queues),
            "quiet" if process.is_quiet else "",
        )
        for process in processes
    ]
    return _table(("process", "tag", "busy", "memory", "beat", "queues", ""), rows)


def _job_table(entries: Sequence[JobRecord]) -> str:
    rows: list[Sequence[str]] = []
    for entry in entries:
        fields = entry.fields
        when = entry.at if isinstance(entry, SortedEntry) else entry.created_at
        rows.append(
            (
                _utc(when),
                str(fields.get("jid", "")),
                str(fields.get("class", "not a job")),
                str(fields.get("queue", "")),
                json.dumps(fields["args"], ensure_ascii=False) if fields else _raw(entry.raw),
                _error(fields),
            )
        )
    head = "at" if isinstance(entries[0], SortedEntry) else "created"
    return _table((head, "jid", "class", "queue", "arguments", "error"), rows)


def _error(fields: Mapping[str, Any]) -> str:
    return (
        f"{fields['error_class']}: {fields.get('error_message')}" if "error_class" in fields else ""
    )


def _job_answer(entry: JobRecord) -> dict[str, Any]:
    answer: dict[str, Any] = {"at": entry.score} if isinstance(entry, SortedEntry) else {}
    return answer | ({"payload": entry.fields} if entry.fields else {"raw": _raw(entry.raw)})


def _utc(when: datetime | None) -> str:
    return "" if when is None else when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds else "0 s"


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


# The end


def _end(status: int, *sentences: str) -> NoReturn:
    for sentence in sentences:
        click.echo(f"jobctl: {sentence}", err=True)
    raise SystemExit(status)


def main() -> int:
    """The console script."""
    operator = Operator()
    try:
        status: object = jobctl.main(prog_name="jobctl", standalone_mode=False, obj=operator)
    except click.UsageError as error:
        _end(EX_USAGE, error.format_message(), "see jobctl --help")
    except InvalidJob as error:
        _end(EX_USAGE, str(error))
    except ConfigError as error:
        _end(EX_CONFIG, *error.problems)
    except RedisUnavailable as error:
        _end(EX_UNAVAILABLE, _remedy(operator) or str(error))
    except generator.CannotWrite as error:
        _end(EX_CANTCREAT, str(error))
    except RedisError as error:
        _end(EX_FAILED, str(error))
    except click.Abort:
        _end(130)
    return status if isinstance(status, int) else 0


def _remedy(operator: Operator) -> str:
    if not operator.settings.redis.embedded:
        return ""
    return (
        f"the private store of {Path.cwd()} does not run; it runs while jobd does: start "
        "bin/jobd (or jobd) in this directory, or name another Redis with REDIS_URL"
    )
