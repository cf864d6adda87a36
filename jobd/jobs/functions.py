"""``@job``: functions that are jobs too."""

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from jobd.errors import InvalidJob
from jobd.jobs.classes import Job
from jobd.jobs.definition import HOOKS
from jobd.jobs.in_tests import Jobs, clear_kept, drain_kept, perform_first
from jobd.jobs.pushing import HasPerform, Setter

P = ParamSpec("P")
R = TypeVar("R")


class FunctionJob(Setter[P], Generic[P, R]):
    """A function that is also a job; still called like the function. Made by ``@job``.

    Attributes:
        job_class: the ``Job`` that stands in the registry for it.
    """

    __slots__ = ("__dict__", "job_class")
    __name__: str

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any]) -> None:
        self.job_class = _class_of(function, options)
        super().__init__(cast("type[HasPerform[P]]", self.job_class))
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself: no payload, no middleware."""
        return self._function(*args, **kwargs)

    def cancel(self, jid: str) -> bool:
        """Have a job never run again; see ``Job.cancel``."""
        return self.job_class.cancel(jid)

    jobs = Jobs()
    drain = drain_kept
    perform_one = perform_first
    clear = clear_kept

    def __repr__(self) -> str:
        return f"<job {self.job_class.wire_name}>"


def _class_of(function: Callable[..., Any], options: Mapping[str, Any]) -> type[Job]:
    if inspect.isclass(function) or not callable(function):
        raise InvalidJob(f"@job decorates functions; {function!r} should derive from jobd.Job")
    name: str = function.__name__
    if name == "<lambda>" and "name" not in options:  # all of them would be one and the same job
        raise InvalidJob('a lambda has no name of its own: give it one, @job(name="...")')
    namespace = {
        "perform": staticmethod(function),
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "__label__": name,
    }
    keywords = dict(options)
    for hook in HOOKS:
        if hook in keywords:
            namespace[hook] = staticmethod(keywords.pop(hook))
    return types.new_class(name, (Job,), keywords, lambda body: body.update(namespace))


@overload
def job(function: Callable[P, R], /) -> FunctionJob[P, R]: ...
@overload
def job(**options: Any) -> Callable[[Callable[P, R]], FunctionJob[P, R]]: ...
def job(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a job of a function: ``@job``, or ``@job(queue="low", retry=3)``.

    Args:
        function: takes positional parameters only; it stays callable as before.
        options: those of a ``Job`` class, and its hooks ``retry_in`` and ``retries_exhausted``
            as functions; further ones are carried in the payload.

    Raises:
        InvalidJob: the function or an option is not fit, or the name belongs to another job.
    """

    def decorate(decorated: Callable[..., Any]) -> FunctionJob[..., Any]:
        return FunctionJob(decorated, options)

    return decorate if function is None else decorate(function)
