"""The parameters of a ``perform``: checked when a job is defined, filled when it is pushed.

A payload carries positions only, so keyword arguments become positions here. What the values are
is not looked at.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobd.errors import InvalidArguments, InvalidJob


class Parameters:
    """The positional parameters of a ``perform``, and how arguments are bound to them.

    Args:
        label: what the callable is called in messages.
        function: the callable, bound, so without ``self``.
        may_be_async: whether somebody awaits what it returns.

    Raises:
        InvalidJob: it could never be called with the arguments of a payload.
    """

    __slots__ = ("_most", "_named", "_required", "_text", "_variadic")

    def __init__(
        self, label: str, function: Callable[..., Any], *, may_be_async: bool = False
    ) -> None:
        _refuse_what_runs_nothing(label, function, may_be_async=may_be_async)
        found = signature(label, function)
        self._text = f"{label}{found.replace(return_annotation=found.empty)}"
        parameters = list(found.parameters.values())
        for parameter in parameters:
            if parameter.kind is parameter.KEYWORD_ONLY:
                raise InvalidJob(
                    f"{self._text}: {parameter.name} is keyword-only, but a payload carries "
                    "positions only; move it before the *"
                )
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._named = [parameter for parameter in parameters if parameter.kind in kinds]
        self._variadic = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
        self._required = sum(parameter.default is parameter.empty for parameter in self._named)
        self._most = float("inf") if self._variadic else len(self._named)

    @classmethod
    def of(cls, job_class: type) -> "Parameters | None":
        """Those of the ``perform`` of a class; None if it has none, or an abstract one.

        Raises:
            InvalidJob: the server could not call it.
        """
        function: Any = inspect.getattr_static(job_class, "perform", None)
        if function is None or getattr(function, "__isabstractmethod__", False):
            return None
        # Bound to a stand-in: the class may not be fit to be instantiated here.
        bound = function.__get__(object(), job_class) if hasattr(function, "__get__") else function
        label = vars(job_class).get("__label__", f"{job_class.__name__}.perform")
        if not callable(bound):
            raise InvalidJob(f"{label} must be a method, not {bound!r}")
        try:
            inspect.signature(job_class).bind()
        except TypeError as err:
            raise InvalidJob(
                f"{job_class.__qualname__}: the server makes instances without arguments, {err}"
            ) from None
        return cls(label, bound, may_be_async=True)

    @property
    def span(self) -> tuple[int, float]:
        """The fewest and the most arguments that it takes; infinity for ``*args``."""
        return self._required, self._most

    def __str__(self) -> str:
        return self._text

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The positions that a call with these arguments fills; a default only before a given one.

        Raises:
            InvalidArguments: the call would fail; the message shows the signature.
        """
        if not kwargs and self._required <= len(args) <= self._most:
            return list(args)
        if len(args) > self._most:
            raise self._refused(f"takes {len(self._named)} arguments, but {len(args)} were given")
        self._check_names(args, kwargs)
        rest = self._named[len(args) :]
        given = [index for index, parameter in enumerate(rest, 1) if parameter.name in kwargs]
        used = given[-1] if given else 0
        positions = [kwargs.get(parameter.name, parameter.default) for parameter in rest]
        missing = [
            f'"{parameter.name}"'
            for parameter, value in zip(rest, positions, strict=True)
            if value is parameter.empty
        ]
        if missing:
            raise self._refused(f"missing {', '.join(missing)}")
        return [*args, *positions[:used]]

    def _check_names(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        names = {
            parameter.name
            for parameter in self._named
            if parameter.kind is not parameter.POSITIONAL_ONLY
        }
        for name in kwargs:
            if name not in names:
                raise self._refused(f'has no parameter "{name}" that a keyword could fill')
        for parameter in self._named[: len(args)]:
            if parameter.name in kwargs:
                raise self._refused(f'got "{parameter.name}" twice, by position and by keyword')

    def _refused(self, what: str) -> InvalidArguments:
        return InvalidArguments(f"{self._text}: {what}")


def is_async(function: Callable[..., Any] | None) -> bool:
    """Whether what a call of it returns is to be awaited, whatever decorates it."""
    return function is not None and inspect.iscoroutinefunction(inspect.unwrap(function))


def _refuse_what_runs_nothing(
    label: str, function: Callable[..., Any], *, may_be_async: bool
) -> None:
    if is_async(function) and not may_be_async:
        raise InvalidJob(f"{label} is async, which only perform may be: write a plain def")
    for is_wrong, what in (
        (inspect.isasyncgenfunction, "is an async generator, which jobd does not run"),
        (inspect.isgeneratorfunction, "is a generator: calling it would run nothing; remove yield"),
    ):
        if is_wrong(inspect.unwrap(function)):
            raise InvalidJob(f"{label} {what}")


def signature(label: str, function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a callable, bound, so without ``self``.

    Raises:
        InvalidJob: it has none that a worker could call.
    """
    try:
        if sys.version_info >= (3, 14):
            import annotationlib  # noqa: PLC0415 - new in Python 3.14

            # The annotations may name what is only imported for type checkers.
            return inspect.signature(function, annotation_format=annotationlib.Format.STRING)
        return inspect.signature(function)
    except (TypeError, ValueError) as err:
        raise InvalidJob(f"{label} cannot be called as a method ({err}); is self missing?") from err
