"""The ``jobctl`` command: what an operator sees, and does to jobs, queues and processes.

It imports no application: a job is pushed by its name, with the options given here. What it reads
and clears goes through ``api``; what it pushes goes through ``client``, as everybody's does.

Exit status: 0 done, 1 not done (refused by Redis, answered with no, not found), 64 the command
line is wrong, 69 Redis cannot be reached, 73 a file exists already or cannot be made, 78 the
configuration is wrong, 130 Ctrl-C.
"""

import io
import sys
from pathlib import Path

import click

from jobd import generator
from jobd._version import __version__
from jobd.ctl.acting import cancel, delete, kill, reschedule, retry
from jobd.ctl.checking import check
from jobd.ctl.looking import look
from jobd.ctl.operator import (
    EX_CANTCREAT,
    EX_CONFIG,
    EX_FAILED,
    EX_UNAVAILABLE,
    EX_USAGE,
    Operator,
    end,
    everywhere,
)
from jobd.ctl.places import clear, pause, unpause
from jobd.ctl.processes import dump, quiet, resume, stop
from jobd.ctl.pushing import push
from jobd.ctl.reading import jobs, queues, show, status
from jobd.ctl.reload import reload
from jobd.ctl.shell import shell
from jobd.ctl.tools import new, redis
from jobd.ctl.top import top
from jobd.ctl.trash import trash
from jobd.ctl.web import web
from jobd.errors import ConfigError, InvalidJob, RedisError, RedisUnavailable


class _Jobctl(click.Group):
    """Lists its commands in the order in which they were added, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it so
        return list(self.commands)


@click.group(cls=_Jobctl, context_settings={"help_option_names": ["-h", "--help"]})
@everywhere
@click.version_option(__version__, "-V", "--version", message="jobctl %(version)s")
def jobctl() -> None:
    """Look into the queues of jobd and Sidekiq, and act on jobs and processes."""


_COMMANDS = (
    *(status, check, top, queues, jobs, show, look),
    *(push, retry, delete, kill, cancel, reschedule),
    *(pause, unpause, clear, trash),
    *(quiet, resume, stop, dump, reload),
    *(redis, new, shell, web),
)

for _command in _COMMANDS:
    jobctl.add_command(_command)


def main() -> int:
    """The console script."""
    _print_anything()
    operator = Operator()
    try:
        answer: object = jobctl.main(prog_name="jobctl", standalone_mode=False, obj=operator)
    except click.UsageError as error:
        end(EX_USAGE, error.format_message(), "see jobctl --help")
    except InvalidJob as error:
        end(EX_USAGE, str(error))
    except ConfigError as error:
        end(EX_CONFIG, *error.problems)
    except RedisUnavailable as error:
        end(EX_UNAVAILABLE, _remedy(operator) or str(error))
    except generator.CannotWrite as error:
        end(EX_CANTCREAT, str(error))
    except RedisError as error:
        end(EX_FAILED, str(error))
    except click.Abort:
        end(130)
    return answer if isinstance(answer, int) else 0


def _print_anything() -> None:
    """A job may hold letters that the encoding of the terminal has not."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _remedy(operator: Operator) -> str:
    if not operator.settings.redis.embedded:
        return ""
    return (
        f"the private store of {Path.cwd()} does not run; it runs while jobd does: start "
        "bin/jobd (or jobd) in this directory, or name another Redis with REDIS_URL"
    )
