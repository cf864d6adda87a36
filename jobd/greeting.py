"""What jobd says when it starts: a banner on a terminal, what it is about to do, what to try."""

import contextlib
import inspect
import json
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from jobd import log
from jobd._version import __version__
from jobd.config import FILES, Capsule, Config

BANNER: Final = r"""
     _       _         _
    (_) ___ | |__   __| |   +--+  +--+  +--+
    | |/ _ \| '_ \ / _` |   |  |->|  |->|  |
    | | (_) | |_) | (_| |   +--+  +--+  +--+
   _/ |\___/|_.__/ \__,_|    background jobs,
  |__/                       the Unix way
"""


_EXAMPLES: Final[Mapping[type, object]] = {str: "hello", int: 1, float: 1.5, bool: True}


def tell_where_the_log_is(config: Config) -> None:
    """On a terminal, before the log leaves it: why a boot fails is told in the file alone."""
    if config.log.file is not None and os.isatty(2):
        os.write(2, f"jobd: the log is {config.log.file}\n".encode())


def boot_lines(config: Config, *, is_private: bool) -> None:
    """Say what is started, and how to talk to it."""
    if config.environment == "development" and os.isatty(1):
        os.write(1, BANNER.encode() + b"\n")
    source = str(config.source) if config.source else "none (defaults)"
    log.event(
        f"jobd {__version__} starts",
        environment=config.environment,
        master=os.getpid(),
        config=source,
        tag=config.tag,
    )
    for capsule in config.capsules:
        log.event(
            "workers",
            capsule=capsule.name,
            concurrency=_count(capsule.concurrency, "process", "processes"),
            auto=config.concurrency_is or None if capsule is config.capsules[0] else None,
            threads=capsule.threads if capsule.threads > 1 else None,
            queues=describe_queues(capsule),
            order=capsule.mode,
        )
    where = "private, started and stopped with this jobd" if is_private else None
    log.event("redis", url=config.redis.masked_url, store=where, fetch=config.fetch)
    log.event(
        "signals: TERM or Ctrl-C drains and stops, QUIT stops at once, TSTP takes no more jobs, "
        "CONT resumes, HUP reloads, USR2 replaces the workers, TTIN logs all stacks, USR1 reopens "
        "the log"
    )
    for note in config.notes:
        log.event(note, level="warning")
    if os.geteuid() == 0 and config.environment not in {"development", "test"}:
        log.event(
            "started as root, so each job may do anything to this machine: give it a user of its "
            "own, with User= of systemd, USER of a Dockerfile or su",
            level="warning",
        )


def warn_of_no_jobs(config: Config) -> None:
    """Say that the application defines no job, and what to do about it."""
    named = ", ".join(config.require)
    found = f"{named} defines none" if named else "no module is named"
    log.event(
        f"no job is known here, so each that is taken will fail: {found}; name the module that "
        "defines your jobs, with -r MODULE or as require: [MODULE] in jobd.yml",
        level="warning",
    )


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def describe_queues(capsule: Capsule) -> str:
    """The queues of a capsule in order, each with its weight if it has one."""
    return " ".join(
        f"{queue.name},{queue.weight}" if queue.weight else queue.name for queue in capsule.queues
    )


class Hint:
    """The last boot line of a developer's server: a job to push from a second terminal.

    Only a worker knows the application's jobs, and only the master knows when all is ready, so
    the first worker leaves the line in a pipe, and the master shows it.

    Args:
        config: for the command that finds the same Redis.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def leave(self, performs: Mapping[str, Callable[..., object]]) -> None:
        """In a worker: write the line.

        Args:
            performs: what each job that the application defines calls, by the job's name.
        """
        if performs and self._config.environment == "development":
            # A full pipe, or an annotation that is evaluated now (3.14) and raises anything at
            # all: a worker starts without a hint.
            with contextlib.suppress(Exception):
                os.write(self._writer, f"{self._command(performs)}\n".encode())

    def show(self) -> None:
        """In the master, once the first worker is ready."""
        try:
            line, _, _ = os.read(self._reader, 4096).partition(b"\n")
        except BlockingIOError:
            return
        text = f"try it in a second terminal: {line.decode(errors='replace')}"
        if self._config.log.format == "json":
            log.event(text)
        else:
            log.plain(text)

    def _command(self, performs: Mapping[str, Callable[..., object]]) -> str:
        examples = {name: _example_arguments(perform) for name, perform in performs.items()}
        known = sorted(name for name, arguments in examples.items() if None not in arguments)
        name = "Echo" if "Echo" in known else known[0]
        arguments = json.dumps(examples[name])
        command = f"{_jobctl(self._config)} push {shlex.quote(name)} {shlex.quote(arguments)}"
        served = [queue.name for capsule in self._config.capsules for queue in capsule.queues]
        return command if "default" in served else f"{command} --queue {shlex.quote(served[0])}"


def _example_arguments(perform: Callable[..., object]) -> list[object]:
    """A value for each argument that must be given; None where no value can be guessed."""
    return [
        _example(parameter.annotation)
        for parameter in _signature(perform).parameters.values()
        if parameter.default is parameter.empty
        and parameter.name != "self"
        # Any number of something unknown may be none of it.
        and (parameter.kind is not parameter.VAR_POSITIONAL or _example(parameter.annotation))
    ]


def _signature(perform: Callable[..., object]) -> inspect.Signature:
    try:
        return inspect.signature(perform, eval_str=True)
    except NameError:  # a name that is imported for type checkers only
        return inspect.signature(perform)


def _example(annotation: object) -> object:
    # Compared, not looked up: Annotated[int, {...}] has no hash.
    return next((value for kind, value in _EXAMPLES.items() if annotation is kind), None)


def _jobctl(config: Config) -> str:
    here = Path.cwd()
    command = "bin/jobctl" if (here / "bin" / "jobctl").exists() else "jobctl"
    first = next((here / name for name in FILES if (here / name).exists()), None)
    if config.source is not None and config.source != first:
        command += f" -C {shlex.quote(os.path.relpath(config.source))}"
    return command
