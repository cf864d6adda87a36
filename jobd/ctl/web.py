"""``jobctl web``: the dashboard on a port of its own."""

import ipaddress
import os
import socket

import click

from jobd.config import web_password
from jobd.ctl.operator import EX_CONFIG, EX_FAILED, EX_UNAVAILABLE, Operator, end, everywhere

_PLAIN_HTTP = (
    "warning: this is plain HTTP, in which others on the way can read the password and all that is "
    "shown: let a proxy with TLS stand before it, and listen on 127.0.0.1"
)


@click.command()
@everywhere
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=9292, show_default=True, help="0: any that is free.")
@click.option("--read-only", is_flag=True, help="Nobody can do anything.")
@click.option("--allow-host", multiple=True, metavar="NAME", help="A name it is asked for by.")
@click.option("--redact", multiple=True, metavar="GLOB", help="Further fields to mask.")
@click.pass_obj
def web(
    operator: Operator, /, *, host: str, port: int, read_only: bool, **lists: tuple[str, ...]
) -> None:
    """Serve the dashboard.

    To this machine only, or with the variable JOBD_WEB_PASSWORD to others, too.
    """
    if not (_is_loopback(host) or web_password()):
        problem = (
            f"--host {host} is open to others: set JOBD_WEB_PASSWORD, or leave it at 127.0.0.1"
        )
        end(EX_CONFIG, problem)
    # Late, as they are slow to import and an extra; the other commands work without.
    try:
        import uvicorn  # noqa: PLC0415 - see above

        from jobd.web import SECRET_WORDS, Settings  # noqa: PLC0415 - see above
        from jobd.web.app import dashboard  # noqa: PLC0415 - see above
    except ImportError as error:
        end(EX_UNAVAILABLE, f'{error}: the dashboard needs pip install "jobd-server[web]"')
    settings = Settings(
        read_only=read_only,
        allowed_hosts=lists["allow_host"],
        redact=(*SECRET_WORDS, *lists["redact"]),
        environment=operator.settings.environment,
    )
    app = dashboard(settings, operator.access, operator.settings.web.redact)
    listener = _listen(host, port)
    if not _is_loopback(host):
        click.echo(f"jobctl: {_PLAIN_HTTP}", err=True)
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"jobctl: the dashboard is at http://{shown}:{listener.getsockname()[1]}", err=True)
    # What a proxy says of the visitor is not believed: the dashboard looks at who connects.
    config = uvicorn.Config(
        app, log_level="warning", proxy_headers=False, server_header=False, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listener])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # Not strerror: Python adds the address to that once more.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        end(
            EX_FAILED,
            f"cannot listen on {host}, port {port}: {reason}; --host and --port name another place",
        )
