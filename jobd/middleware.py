"""The chain of middleware, one shape for clients and workers.

A middleware is a callable that takes the call's own arguments and then ``proceed``, which takes
the same arguments and runs the rest of the chain:

    def with_locale(payload, proceed):          # client: returns the payload, or None to stop
        payload.setdefault("locale", current_locale())
        return proceed(payload)

    def timed(job, payload, proceed):           # server: around perform
        with timer(payload["class"]):
            proceed(job, payload)

A client middleware that does not return what ``proceed`` returned stops the push. It sees ``at``
(epoch seconds) in the payload of a job that is being scheduled.

Source: Sidekiq's lib/sidekiq/middleware/chain.rb.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeAlias, TypeVar

from jobd.payload import Payload

ClientCall: TypeAlias = Callable[[Payload], Payload | None]
ClientMiddleware: TypeAlias = Callable[[Payload, ClientCall], Payload | None]
ServerCall: TypeAlias = Callable[[Any, Payload], None]
ServerMiddleware: TypeAlias = Callable[[Any, Payload, ServerCall], None]

M = TypeVar("M", bound=Callable[..., Any])
C = TypeVar("C", bound=Callable[..., Any])


class Chain(Generic[M, C]):
    """Middleware in the order in which it is entered; the first added is the outermost.

    Where a method takes a middleware that is already in the chain, its class will do.
    """

    __slots__ = ("_folded", "_links")

    def __init__(self, *links: M) -> None:
        self._links: tuple[M, ...] = ()  # replaced, never changed: pushes read it meanwhile
        self._folded: tuple[tuple[M, ...], C, C] | None = None
        for link in links:
            self.add(link)

    def add(self, link: M) -> M:
        """Put it innermost; one that is there already moves. May serve as a decorator."""
        self._links = (*self._without(_checked(link)), link)
        return link

    def prepend(self, link: M) -> M:
        """Put it outermost; one that is there already moves."""
        self._links = (_checked(link), *self._without(link))
        return link

    def insert_before(self, place: M | type, link: M) -> None:
        """Put it just outside of ``place``, or outermost if that is not in the chain."""
        rest = self._without(_checked(link))
        index = _index(rest, place)
        index = 0 if index is None else index
        self._links = (*rest[:index], link, *rest[index:])

    def insert_after(self, place: M | type, link: M) -> None:
        """Put it just inside of ``place``, or innermost if that is not in the chain."""
        rest = self._without(_checked(link))
        index = _index(rest, place)
        index = len(rest) if index is None else index + 1
        self._links = (*rest[:index], link, *rest[index:])

    def remove(self, link: M | type) -> None:
        """Take it out, if it is there."""
        self._links = self._without(link)

    def clear(self) -> None:
        """Take everything out."""
        self._links = ()

    def __contains__(self, link: object) -> bool:
        return _index(self._links, link) is not None

    def __iter__(self) -> Iterator[M]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    def fold(self, terminal: C) -> C:
        """The whole chain as one callable that ends in ``terminal``.

        Folded once: the same terminal gets the same callable until the chain changes.
        """
        folded = self._folded
        links = self._links
        if folded is None or folded[0] is not links or folded[1] is not terminal:
            call: Any = terminal
            for link in reversed(links):
                call = _joined(link, call)
            folded = (links, terminal, call)
            self._folded = folded
        return folded[2]

    def _without(self, link: object) -> tuple[M, ...]:
        return tuple(other for other in self._links if not _matches(other, link))


def _joined(link: Callable[..., Any], proceed: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        return link(*arguments, proceed)

    return call


def _matches(link: object, wanted: object) -> bool:
    return link == wanted or (isinstance(wanted, type) and isinstance(link, wanted))


def _index(links: tuple[M, ...], wanted: object) -> int | None:
    return next((index for index, link in enumerate(links) if _matches(link, wanted)), None)


def _checked(link: M) -> M:
    if inspect.isclass(link):
        raise TypeError(f"{link.__name__} is a class: add an instance, {link.__name__}(...)")
    if not callable(link):
        raise TypeError(f"{link!r} is no middleware: it cannot be called")
    if inspect.iscoroutinefunction(link) or inspect.iscoroutinefunction(type(link).__call__):
        raise TypeError(f"{link!r} is async: nothing would await it; write it with plain def")
    return link


ClientChain: TypeAlias = Chain[ClientMiddleware, ClientCall]
ServerChain: TypeAlias = Chain[ServerMiddleware, ServerCall]
