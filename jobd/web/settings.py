"""What the owner of a dashboard decides: who may come in, what they may do, what they may see."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from starlette.requests import Request

from jobd.errors import ConfigError

Authenticate: TypeAlias = Callable[
    [Request, str], "str | bool | Awaitable[str | bool | None] | None"
]
"""Called with each request and its act; returns the user's name, or True, or nobody.

The act is ``read``, or one of ``jobd.web.ACTS``. Nobody (None, False, an empty name) is refused.
"""

Redactor: TypeAlias = Callable[[str, list[Any]], list[Any]]
"""Called with a job's class name and its arguments; returns those that may be shown."""

SECRET_WORDS: Final = (
    "*password*",
    "*passwd*",
    "*secret*",
    "*token*",
    "*api_key*",
    "*apikey*",
    "*authorization*",
    "*private_key*",
    "*credit_card*",
)
"""Names of fields inside arguments whose values are never shown, unless the owner says so."""

ACTS: Final = (
    *("add_to_queue", "cancel", "clear", "delete", "dump", "kill", "kill_running", "look"),
    *(
        "move",
        "pause",
        "put_back",
        "quiet",
        "reload",
        "reschedule",
        "resume",
        "retry",
        "stop",
        "unpause",
    ),
)
"""What may be done in a dashboard; each is noted in the audit log under this word."""

ROLES: Final[Mapping[str, frozenset[str]]] = {
    "viewer": frozenset({"read"}),
    "operator": frozenset(
        {
            *("read", "add_to_queue", "dump", "pause", "put_back"),
            *("quiet", "reschedule", "resume", "retry", "unpause"),
        }
    ),
    "admin": frozenset({"read", *ACTS}),
}
"""Three roles, for an authenticator: the acts of each; an operator's can all be taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a dashboard is run; the defaults are right for one's own machine.

    Attributes:
        authenticate: who is allowed to do what. Without it only this machine is let in.
        read_only: refuse every act, and show no button.
        allowed_hosts: names under which it may be asked for, without ports; ``*.example.com``
            means all below. Empty: any, if there is an authenticator; else this machine's names.
        redact: globs of the names of fields inside arguments whose values are masked.
        redactor: a function that decides instead, after those.
        title: shown at the top.
        environment: a badge beside it, such as ``production``.
        back_url: where "back to the app" leads; none if empty.
        instances: other dashboards to switch to: what each is called, and its path or URL; this
            one belongs among them, under its own.
        trace_url: where the trace of a job can be seen, with ``{trace_id}`` in it; none if empty.
        texts: other texts for the keys of the catalogue, as a translation has them.
        refresh_s: seconds between two refreshes of an open page.
        patience_s: seconds that an act on many jobs may take before it answers with how far it
            came; it can be repeated.
    """

    authenticate: Authenticate | None = None
    read_only: bool = False
    allowed_hosts: tuple[str, ...] = ()
    redact: tuple[str, ...] = SECRET_WORDS
    redactor: Redactor | None = None
    title: str = "jobd"
    environment: str = ""
    back_url: str = ""
    instances: Mapping[str, str] = field(default_factory=dict[str, str])
    trace_url: str = ""
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    refresh_s: float = 5.0
    patience_s: float = 20.0

    def __post_init__(self) -> None:
        if not self.refresh_s >= 1:
            problem = f"web.refresh_s: {self.refresh_s!r}; once a second (1) is the most"
            raise ConfigError([problem])
        for name, url in self._urls().items():
            if url and not url.startswith(("/", "http://", "https://")):
                problem = f'web.{name}: "{url}"; a path such as /, or an http(s) URL'
                raise ConfigError([problem])

        if self.trace_url and "{trace_id}" not in self.trace_url:
            problem = f'web.trace_url: "{self.trace_url}"; it must say where {{trace_id}} goes'
            raise ConfigError([problem])

    def _urls(self) -> Mapping[str, str]:
        instances = {f"instances.{name}": url for name, url in self.instances.items()}
        return {"back_url": self.back_url, "trace_url": self.trace_url, **instances}
