"""The ``jobd`` command: from words on the command line to a configuration that is run.

What it means to run one is the business of ``boot``; what a setting means is that of ``config``.

Exit status: 0 stopped as asked, 64 the command line is wrong, 78 the configuration or the
application is; the others are ``boot``'s (73 another instance runs, 70 and 75 as in sysexits.h).
"""

import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from jobd import boot, log
from jobd._version import __version__
from jobd.config import Flags, load
from jobd.errors import ConfigError

EX_USAGE = 64
EX_CONFIG = 78

_HELP = "see jobd --help for all flags"
EPILOG = """
Without -C it reads etc/jobd.yml, config/jobd.yml or jobd.yml, if there is one. A flag beats an
environment variable (REDIS_URL, JOBD_ENV), that beats the file's section of the environment, and
that its top level. Signals: TERM drains and stops, TSTP takes no more jobs, CONT resumes, HUP
reloads, USR2 replaces the workers, TTIN writes all stacks to the log, USR1 reopens the log. jobctl
looks into the queues and pushes jobs.
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.option("-C", "--config", metavar="FILE", help="The YAML file with the settings.")
@click.option("-e", "--environment", metavar="ENV", help="Its section; development by default.")
@click.option(
    "-r",
    "--require",
    metavar="MODULE|FILE",
    multiple=True,
    help="What defines the jobs: a module, or a Python file. May be repeated.",
)
@click.option("-c", "--concurrency", metavar="N", help="Worker processes, or auto.")
@click.option(
    "-q",
    "--queue",
    metavar="NAME[,WEIGHT]",
    multiple=True,
    help="A queue to work on, in the order of priority or with weights. May be repeated.",
)
@click.option("-t", "--timeout", metavar="SECONDS", type=float, help="To drain at a stop.")
@click.option("-g", "--tag", metavar="TAG", help="Name in titles and in the dashboard.")
@click.option("-P", "--pidfile", metavar="FILE", help="Where the master writes its pid.")
@click.option("-L", "--logfile", metavar="FILE", help="Log there instead of on stdout.")
@click.option("-v", "--verbose", is_flag=True, default=None, help="Log what debugging needs.")
@click.option("--check", is_flag=True, help="Check settings, application and Redis, and exit.")
@click.option("--reload", is_flag=True, help="In development: start anew when code changes.")
@click.version_option(__version__, "-V", "--version", message="jobd %(version)s")
def jobd(  # noqa: PLR0913 - click passes one argument a flag
    *,
    config: str | None,
    environment: str | None,
    require: tuple[str, ...],
    concurrency: str | None,
    queue: tuple[str, ...],
    timeout: float | None,
    tag: str | None,
    pidfile: str | None,
    logfile: str | None,
    verbose: bool | None,
    check: bool,
    reload: bool,
) -> int:
    """Run background jobs from Redis until told to stop."""
    flags = Flags(
        config=config,
        environment=environment,
        require=require or None,
        concurrency=concurrency,
        queues=queue or None,
        timeout=timeout,
        tag=tag,
        pidfile=pidfile,
        logfile=logfile,
        verbose=verbose,
    )
    if reload:
        return _reload([word for word in sys.argv[1:] if word != "--reload"])
    return serve(flags, is_check=check)


def serve(flags: Flags, *, is_check: bool) -> int:
    """Settle the configuration and run it, or only check it; the exit status."""
    if sys.platform != "linux":
        return _complain(
            EX_CONFIG,
            f"the server runs on Linux only, and this is {sys.platform}; jobs can be pushed from "
            "here (import jobd, or jobctl), and the server be run in a container",
        )
    if os.environ.get("NO_COLOR"):
        log.forbid_color()
    log.know_journal(os.environ.get("JOURNAL_STREAM", ""))
    try:
        settled = load(flags)
        if is_check:
            return boot.check(settled)
        return boot.run(settled, functools.partial(load, flags))
    except ConfigError as error:
        # A problem begins with where it is; that of a flag with the flag.
        if all(problem.startswith("-") for problem in error.problems):
            return _complain(EX_USAGE, *error.problems, _HELP)
        return _complain(EX_CONFIG, *error.problems)


def _reload(words: Sequence[str]) -> int:
    from jobd.reloading import serve_and_reload  # noqa: PLC0415 - a server does without

    try:
        return serve_and_reload(words, Path.cwd())
    except ConfigError as error:
        return _complain(EX_USAGE, *error.problems)


def _complain(status: int, *problems: str) -> int:
    for problem in problems:
        click.echo(f"jobd: {problem}", err=True)
    return status


def main() -> int:
    """The console script."""
    try:
        status: int = jobd.main(prog_name="jobd", standalone_mode=False)
    except click.UsageError as error:
        return _complain(EX_USAGE, error.format_message(), _HELP)
    except click.Abort:  # Ctrl-C before the master has its signal handlers
        return 130
    return status
