"""The application's own code that jobd calls: at events, on errors, on deaths.

Every such call goes through ``Hooks.call``, so no handler can stop the server. When an event
happens is decided elsewhere.

Source: Sidekiq's lib/sidekiq/{config,component}.rb.
"""

import difflib
import inspect
import logging
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_args, overload

from jobd.errors import ConfigError, Stop

Event: TypeAlias = Literal["startup", "quiet", "shutdown", "exit", "beat", "fork"]
ErrorHandler: TypeAlias = Callable[[BaseException, dict[str, Any]], object]
DeathHandler: TypeAlias = Callable[[dict[str, Any], BaseException], object]

F = TypeVar("F", bound=Callable[[], object])
T = TypeVar("T")
D = TypeVar("D")

_REVERSED: Final = frozenset({"quiet", "shutdown", "exit"})
_IGNORED: Final = "%s raised, and was ignored"
_ASYNC: Final = "is async: nothing would await it; write it with plain def"
_logger = logging.getLogger("jobd")


class Hooks:
    """What to call, and when.

    Attributes:
        error_handlers: called with (error, context) for failed jobs and for errors of jobd itself.
        death_handlers: called with (payload, error) when a job will not be tried again.
    """

    def __init__(self) -> None:
        self.error_handlers: list[ErrorHandler] = []
        self.death_handlers: list[DeathHandler] = []
        self._events: dict[str, list[Callable[[], object]]] = {
            event: [] for event in get_args(Event)
        }

    def on(self, event: Event, function: F) -> F:
        """Call the function without arguments whenever the event happens.

        Raises:
            ConfigError: there is no such event.
            TypeError: the function is async, and nobody would await it.
        """
        self.check(event)
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{_name_of(function)} {_ASYNC}")
        self._events[event].append(function)
        return function

    def check(self, event: str) -> None:
        """Refuse an event that never happens.

        Raises:
            ConfigError: naming those that do.
        """
        if event not in self._events:
            near = difflib.get_close_matches(str(event), self._events, 1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise ConfigError([f'no event "{event}": there are {", ".join(self._events)}{hint}'])

    def fire(self, event: Event) -> None:
        """Call the functions of an event; quiet, shutdown and exit in reverse order.

        Raises:
            Exception: from ``startup`` only, whose functions may abort the boot.
        """
        functions = list(self._events[event])
        if event in _REVERSED:
            functions.reverse()
        for function in functions:
            if event == "startup":
                function()
            else:
                self.call(function)

    def report_error(self, error: BaseException, context: dict[str, Any]) -> None:
        """Tell every error handler."""
        for handler in list(self.error_handlers):
            self.call(handler, error, context)

    def report_death(self, payload: dict[str, Any], error: BaseException) -> None:
        """Tell every death handler."""
        for handler in list(self.death_handlers):
            self.call(handler, payload, error)

    @overload
    @staticmethod
    def call(function: Callable[..., T], *args: Any) -> T | None: ...
    @overload
    @staticmethod
    def call(function: Callable[..., T], *args: Any, default: D) -> T | D: ...
    @staticmethod
    def call(function: Callable[..., Any], *args: Any, default: Any = None) -> Any:
        """Call the application's code; whatever it raises is logged, and ``default`` returned.

        Not for what is called while a job runs: see ``call_in_job``.
        """
        try:
            return _not_awaited(function(*args))
        except BaseException:  # asyncio.CancelledError, for one, is no Exception
            _logger.exception(_IGNORED, _name_of(function))
            return default

    @staticmethod
    def call_in_job(function: Callable[..., object], *args: Any) -> None:
        """Likewise, where a job is running that may be interrupted meanwhile.

        Raises:
            Stop: it was.
        """
        try:
            function(*args)
        except Stop:
            raise
        except BaseException:  # as above
            _logger.exception(_IGNORED, _name_of(function))


def _not_awaited(returned: T) -> T:
    if inspect.iscoroutine(returned):
        returned.close()
        raise TypeError(f"it {_ASYNC}")
    return returned


def _name_of(function: Callable[..., object]) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))
