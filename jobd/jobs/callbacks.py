"""Callbacks: methods of a job that are called around its ``perform``, or after its push.

They are found and checked when the class is defined. What is to happen around every job belongs
into middleware, and what is to happen when a process starts or ends into hooks.

Source: Resque's docs/HOOKS.md for the names and their order: before, around, perform, after.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from jobd.client import Prepared
from jobd.errors import InvalidJob, Stop
from jobd.hooks import Hooks
from jobd.jobs.completing import refuse_coroutine
from jobd.jobs.parameters import Parameters

M = TypeVar(
    "M", bound="Callable[..., object] | classmethod[Any, ..., Any] | staticmethod[..., Any]"
)

_MARK: Final = "__jobd_callback__"
_OWN: Final = {
    "before_perform": (),
    "around_perform": ("proceed",),
    "after_perform": (),
    "on_failure": ("error",),
    "after_enqueue": ("payload",),
}
"""What each kind of callback is given first."""


def before_perform(method: M) -> M:
    """Call the method before ``perform``: ``def check(self)``, or ``(self, *args)`` for those too.

    What it raises fails the run, and ``perform`` is not called. A base's are called first.
    """
    return _marked("before_perform", method)


def around_perform(method: M) -> M:
    """Call the method instead, which calls ``perform``: ``def timed(self, proceed): proceed()``.

    Perform's arguments follow ``proceed`` if it takes them. Where it does not call ``proceed``,
    the job counts as done. A base's are the outermost.
    """
    return _marked("around_perform", method)


def after_perform(method: M) -> M:
    """Call the method once ``perform`` has returned, with its arguments if it takes any.

    What it raises fails the run. A base's are called last.
    """
    return _marked("after_perform", method)


def on_failure(method: M) -> M:
    """Call the method when a run fails, each time: ``def told(self, error)``.

    Perform's arguments follow the error if it takes them. The error cannot be swallowed; one of
    its own is logged. An interruption (``jobd.Stop``) is no failure. A base's are called last.
    """
    return _marked("on_failure", method)


def after_enqueue(method: M) -> M:
    """Call the class method where the job was pushed, once it was: ``def sent(cls, payload)``.

    What it raises is logged: the job is pushed. A base's are called last.
    """
    return _marked("after_enqueue", method)


def _marked(kind: str, method: M) -> M:
    function = _function_of(method)
    if not inspect.isfunction(function):
        raise InvalidJob(f"@{kind} decorates methods of a job class, not {method!r}")
    setattr(function, _MARK, (*_marks(function), kind))
    return method


class _Callback(NamedTuple):
    name: str  # looked up at each call, like any method
    takes_arguments: bool

    def given(self, args: Sequence[Any]) -> Sequence[Any]:
        """What of perform's arguments it is called with."""
        return args if self.takes_arguments else ()


class Callbacks:
    """Those of one job class, in the order of their calls."""

    __slots__ = ("_after", "_around", "_before", "_enqueued", "_failed", "_job_class")

    def __init__(self, job_class: type, found: dict[str, list[_Callback]]) -> None:
        self._job_class = job_class
        self._before, self._around = found["before_perform"], found["around_perform"]
        self._after, self._failed = found["after_perform"][::-1], found["on_failure"][::-1]
        self._enqueued = found["after_enqueue"][::-1]

    @classmethod
    def of(cls, job_class: type, parameters: Parameters | None) -> "Callbacks | None":
        """Those that a class has or inherits; None if there are none.

        Args:
            job_class: of which ``perform`` is known already.
            parameters: of that; None for a base.

        Raises:
            InvalidJob: one could not be called, or would never be.
        """
        _refuse_unmarked(job_class)
        found: dict[str, list[_Callback]] = {kind: [] for kind in _OWN}
        for kind, name in _declared(job_class):
            found[kind].append(_Callback(name, _takes(job_class, kind, name, parameters)))
        return cls(job_class, found) if any(found.values()) else None

    def run(self, job_instance: Any, args: Sequence[Any]) -> None:
        """Call ``perform`` and what belongs around it."""
        try:
            for callback in self._before:
                getattr(job_instance, callback.name)(*callback.given(args))
            if self._perform(job_instance, args):
                for callback in self._after:
                    getattr(job_instance, callback.name)(*callback.given(args))
        except BaseException as error:
            if Stop.behind(error) is None:
                for callback in self._failed:
                    method = getattr(job_instance, callback.name)
                    Hooks.call_in_job(method, error, *callback.given(args))
            raise

    def _perform(self, job_instance: Any, args: Sequence[Any]) -> bool:
        """Whether ``perform`` has returned, and not only what is around it."""
        has_returned = False

        def innermost() -> None:
            nonlocal has_returned
            refuse_coroutine(job_instance.perform(*args))
            has_returned = True

        proceed: Callable[[], object] = innermost
        for callback in reversed(self._around):
            method = getattr(job_instance, callback.name)
            proceed = functools.partial(method, proceed, *callback.given(args))
        proceed()
        return has_returned

    def pushed(self, ready: Prepared) -> None:
        """Tell the class that a job of it was pushed; its payload has ``at`` if it is for later."""
        for callback in self._enqueued:
            payload = dict(ready.payload)
            if ready.at_s is not None:
                payload["at"] = ready.at_s
            Hooks.call_in_job(getattr(self._job_class, callback.name), payload)


def _function_of(method: Any) -> object:
    return method.__func__ if _is_without_instance(method) else method


def _is_without_instance(method: object) -> bool:
    return isinstance(method, classmethod | staticmethod)


def _marks(method: object) -> tuple[str, ...]:
    marks: tuple[str, ...] = getattr(_function_of(method), "__dict__", {}).get(_MARK, ())
    return marks


def _declared(job_class: type) -> Iterator[tuple[str, str]]:
    """Kind and name of each callback, a base's first and then as written.

    A method that is overridden keeps its place; without the decorator it is no callback any more.
    """
    names: dict[str, None] = {}
    for owner in reversed(job_class.__mro__):
        names.update((name, None) for name, method in vars(owner).items() if _marks(method))
    for name in names:
        for kind in _marks(inspect.getattr_static(job_class, name)):
            yield kind, name


def _refuse_unmarked(job_class: Any) -> None:
    options = job_class.wire_options()
    for kind in _OWN:
        if kind in options:
            raise InvalidJob(
                f"{job_class.__qualname__}: {kind} is no option; it decorates a method of a job "
                "class, which a function could be rewritten as"
            )
        method = inspect.getattr_static(job_class, kind, None)
        if method is not None and not _marks(method):
            raise InvalidJob(
                f"{job_class.__qualname__}.{kind} would not be called for its name: decorate it "
                f"with @jobd.{kind}, or call it something else"
            )


def _takes(job_class: type, kind: str, name: str, parameters: Parameters | None) -> bool:
    """Whether a callback takes perform's arguments after its own.

    Raises:
        InvalidJob: it takes neither all of them nor none.
    """
    label = f"{job_class.__name__}.{name}"
    method: Any = inspect.getattr_static(job_class, name)
    if name == "perform":
        raise InvalidJob(f"{label}: perform is what callbacks are called around, and is none")
    if kind == "after_enqueue" and not _is_without_instance(method):
        raise InvalidJob(
            f"{label} is called where the job is pushed, where there is no instance: put "
            "@classmethod below @after_enqueue"
        )
    taken = Parameters(label, method.__get__(object(), job_class))
    own = len(_OWN[kind])
    fewest, most = taken.span
    if most < own or (kind == "after_enqueue" and fewest > own):
        raise InvalidJob(f"{taken}: @{kind} calls it with ({', '.join(_OWN[kind])})")
    if most == own or kind == "after_enqueue":
        return False
    if parameters is not None:
        least_given, most_given = (own + count for count in parameters.span)
        if fewest > least_given or most < most_given:
            raise InvalidJob(
                f"{taken}: @{kind} calls it with ({', '.join((*_OWN[kind], '*args'))}), and it "
                f"does not take all arguments of {parameters}; let it take those, *args, or none"
            )
    return True
