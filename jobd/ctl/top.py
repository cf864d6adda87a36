"""``jobctl top``: queues, processes and running jobs on the whole terminal, live, with keys."""

import sys

import click

from jobd.ctl.glimpse import Glimpse
from jobd.ctl.operator import EX_UNAVAILABLE, Operator, end, everywhere, seconds


@click.command()
@everywhere
@seconds("--every", "every_s", 2, at_least=0.2, help_="How often it looks")
@click.pass_obj
def top(operator: Operator, *, every_s: float) -> None:
    """Watch queues, processes and running jobs, live. With --json, once."""
    if operator.as_json:
        operator.show(Glimpse.of(operator.access).as_dict(), "")
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("top needs a terminal; for programs there is --json")
    # Late, as it is slow to import and an extra; the other commands work without.
    try:
        from jobd.ctl.watching import watch  # noqa: PLC0415 - see above
    except ImportError as error:
        end(EX_UNAVAILABLE, f'{error}: top needs pip install "jobd-server[tui]"')
    watch(operator.access, operator.settings.redis.masked_url, every_s)
