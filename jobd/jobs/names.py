"""Which class has which name on the wire, one each; what those classes are is not known here."""

import inspect
import os
import sys
from types import CodeType
from typing import Generic, TypeVar

from jobd.errors import InvalidJob

C = TypeVar("C")


class Names(Generic[C]):
    """Classes by name. A name from Redis is looked up here: nothing is ever imported for it."""

    def __init__(self) -> None:
        self._classes: dict[str, type[C]] = {}

    def add_as(self, name: str, job_class: type[C]) -> None:
        """Register a class. The same definition again, as after a reload, replaces the old one.

        Raises:
            InvalidJob: the name belongs to another class.
        """
        other = self._classes.get(name)
        if other is not None and not _is_redefinition(other, job_class):
            raise InvalidJob(
                f'two jobs are called "{name}": {place(other)} and {place(job_class)}; '
                f'give one of them another name on the wire, name = "..."'
            )
        self._classes[name] = job_class

    def find(self, name: str) -> type[C] | None:
        """The class of that name, or None."""
        return self._classes.get(name)

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._classes))

    def forget(self, name: str) -> None:
        """Take a class out, if it is there."""
        self._classes.pop(name, None)


def place(job_class: type) -> str:
    """Where a class is defined, for messages."""
    return f"{job_class.__module__}.{job_class.__qualname__}"


def are_twins(one: type, other: type) -> bool:
    """Whether one function, called twice, has defined both, as a factory of jobs would.

    Its second call looks like a reload. But a reload compiles the code again, and then it is
    right that the old class stands for the new one.
    """
    code = _code(one)
    return "<locals>" in one.__qualname__ and code is not None and code is _code(other)


def _code(job_class: type) -> CodeType | None:
    perform = inspect.getattr_static(job_class, "perform", None)
    code = getattr(getattr(perform, "__func__", perform), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _is_redefinition(old: type, new: type) -> bool:
    """Whether both come from one definition, be its module reloaded or run as ``__main__``."""
    if old.__qualname__ != new.__qualname__:
        return False
    return old.__module__ == new.__module__ or (_file(old) or "old") == (_file(new) or "new")


def _file(job_class: type) -> str | None:
    path = getattr(sys.modules.get(job_class.__module__), "__file__", None)
    return path and os.path.realpath(path)
