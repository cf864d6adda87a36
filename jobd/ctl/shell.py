"""``jobctl shell``: a Python prompt with the application loaded."""

import code
import contextlib
import importlib
import sys
from pathlib import Path
from typing import Any

import click

import jobd
from jobd import api, application
from jobd.app import current_app  # noqa: TID251 - what the jobs typed there are pushed with
from jobd.ctl.operator import Operator, everywhere
from jobd.jobs import registry

_MOST_NAMED = 20
_AT_HAND = "at hand: jobd, and jobd.api's names"


@click.command()
@everywhere
@click.option("-r", "--require", metavar="MODULE|FILE", multiple=True, help="What to load instead.")
@click.option("--plain", is_flag=True, help="Python's own prompt, where IPython is installed.")
@click.pass_obj
def shell(operator: Operator, /, *, require: tuple[str, ...], plain: bool) -> None:
    """Open a Python prompt that has the jobs and jobd.api at hand."""
    settings, app = operator.settings, current_app()
    app.redis, app.wire = settings.redis, settings.wire
    application.load(require or settings.require, Path.cwd())
    names: dict[str, Any] = {name: getattr(api, name) for name in api.__all__}
    names |= {"jobd": jobd, **{name: registry.find(name) for name in registry.names()}}
    banner = _banner(settings.redis.masked_url)
    if not (plain or not sys.stdin.isatty() or _ipython(names, banner)):
        return
    with contextlib.suppress(ImportError):  # a Python without it has no history
        importlib.import_module("readline")
    code.interact(banner, local=names, exitmsg="")


def _ipython(names: dict[str, Any], banner: str) -> bool:
    """Run it; True if it is not installed."""
    try:
        ipython: Any = importlib.import_module("IPython")
    except ImportError:
        return True
    click.echo(banner)
    ipython.start_ipython(argv=["--no-banner"], user_ns=names)
    return False


def _banner(url: str) -> str:
    known = registry.names()
    shown = " ".join(known[:_MOST_NAMED]) or "none: name their module with require, or -r"
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    lines = (f"jobd {jobd.__version__} on {url}", f"jobs: {shown}{more}", _AT_HAND)
    return "\n".join(lines)
