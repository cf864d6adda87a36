"""Jobs that go through many items, and go on where they stopped.

The class that users derive from, and what is checked when they do; how a run goes is in
``iterating``, and what to iterate over in `jobd.enumerators`.

Source: Sidekiq's lib/sidekiq/job/iterable.rb, whose hooks have the same names.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, ParamSpec, Protocol, Self, TypeVar

from jobd.errors import InvalidJob
from jobd.jobs.classes import Job
from jobd.jobs.iterating import Iteration, Nowhere, Position
from jobd.jobs.parameters import Parameters, is_async, signature
from jobd.jobs.pushing import Delay, Moment, Setter
from jobd.payload import Payload

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])

_METHODS: Final = (
    *("build_enumerator", "each_iteration", "around_iteration"),
    *("on_start", "on_resume", "on_stop", "on_cancel", "on_complete"),
)


def _of_bases(perform: F) -> F:
    """Mark a ``perform`` so that a class which has only this one is a base, and no job."""
    marked: Any = perform
    marked.__isabstractmethod__ = True
    return perform


class HasEnumerator(Protocol[P]):
    """What gives ``perform_async`` and its like the parameters of ``build_enumerator``."""

    def build_enumerator(self, cursor: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Give the items from the cursor on."""
        ...


class IterableJob(Job):
    """A job of many items, which stops between two of them at once and goes on there later.

        class Greetings(IterableJob):
            def build_enumerator(self, cursor, path: str):
                return enumerators.csv_rows(path, cursor)

            def each_iteration(self, row, path: str):
                greet(row["name"])

    The job's arguments are those of ``build_enumerator`` after the cursor. It gives pairs: an item,
    and the cursor (what JSON can carry) from which to begin again with this very item. It is called
    with None at first, and with the last saved cursor afterwards; returns it None, there is
    nothing to do. ``each_iteration`` is called with each item, and with the arguments if it takes
    any. An item may be done twice, after a kill all of the last ``save_every`` seconds.

    Attributes:
        save_every: seconds between two saves of the cursor; it is saved at each stop besides.
        max_iteration_runtime: seconds after which other jobs of the queue have a turn; None: it
            goes on until it is done.
    """

    save_every: ClassVar[float] = 5.0
    max_iteration_runtime: ClassVar[float | None] = None

    takes_arguments: ClassVar[bool] = False
    wraps: ClassVar[bool] = False
    _payload: Payload = {}  # noqa: RUF012 - never changed; of a plain call
    _arguments: tuple[Any, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        for option in ("save_every", "max_iteration_runtime"):
            if option in options:
                setattr(cls, option, options.pop(option))
        _check(cls)
        super().__init_subclass__(**options)

    @classmethod
    def from_payload(cls, payload: Payload) -> Self:
        """The instance that runs a payload."""
        job_instance = super().from_payload(payload)
        job_instance._payload = payload  # noqa: SLF001 - its own class
        return job_instance

    @_of_bases
    def perform(self, *args: Any) -> None:
        """Go through the items; each class has one, with the parameters of its enumerator."""
        self._arguments = args
        # In a test, or inline in another job, there is no worker that keeps anything for it.
        kept = None if self.__run__ is None else self.__run__.progress
        Iteration(self, self._payload, args, self._position, kept or Nowhere()).run()

    @functools.cached_property
    def _position(self) -> Position:
        return Position()

    # For a job to read and to call

    @property
    def cursor(self) -> Any:
        """Of the item that is being done; before the first, where this run begins."""
        return self._position.cursor

    @property
    def current_item(self) -> Any:
        """The item that is being done."""
        return self._position.item

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The arguments of the job."""
        return self._arguments

    @property
    def cancelled(self) -> bool:
        """Whether somebody cancelled it; what Ruby cancels is seen when the cursor is saved."""
        return super().cancelled or self._position.is_cancelled

    def finish(self) -> None:
        """Let this item be the last: the job is complete after it."""
        self._position.wish = "finish"

    def give_way(self) -> None:
        """After this item, go to the back of the queue, to go on when it is this job's turn."""
        self._position.wish = "give way"

    # For a job to override

    def around_iteration(self, proceed: Callable[[], object]) -> None:
        """Called around each item; calls ``proceed``."""
        proceed()

    def on_start(self) -> None:
        """Called once, before the first item."""

    def on_resume(self) -> None:
        """Called when a later run begins."""

    def on_stop(self) -> None:
        """Called when a run ends, for whatever reason."""

    def on_cancel(self) -> None:
        """Called when the job ends because it was cancelled; before ``on_stop``."""

    def on_complete(self) -> None:
        """Called when there is nothing more to do, also after ``on_cancel``."""

    if TYPE_CHECKING:
        # The parameters are those of build_enumerator, where a Job's are those of perform.

        @classmethod
        def set(cls: type[HasEnumerator[P]], **options: Any) -> Setter[P]:
            """See ``Job.set``."""
            ...

        @classmethod
        def perform_async(
            cls: type[HasEnumerator[P]], *args: P.args, **kwargs: P.kwargs
        ) -> str | None:
            """See ``Job.perform_async``."""
            ...

        @classmethod
        def perform_in(
            cls: type[HasEnumerator[P]], delay: Delay, /, *args: P.args, **kwargs: P.kwargs
        ) -> str | None:
            """See ``Job.perform_in``."""
            ...

        @classmethod
        def perform_at(
            cls: type[HasEnumerator[P]], moment: Moment, /, *args: P.args, **kwargs: P.kwargs
        ) -> str | None:
            """See ``Job.perform_at``."""
            ...

        @classmethod
        async def aperform_async(
            cls: type[HasEnumerator[P]], *args: P.args, **kwargs: P.kwargs
        ) -> str | None:
            """See ``Job.aperform_async``."""
            ...

        @classmethod
        async def aperform_in(
            cls: type[HasEnumerator[P]], delay: Delay, /, *args: P.args, **kwargs: P.kwargs
        ) -> str | None:
            """See ``Job.aperform_in``."""
            ...

        @classmethod
        async def aperform_at(
            cls: type[HasEnumerator[P]], moment: Moment, /, *args: P.args, **kwargs: P.kwargs
        ) -> str | None:
            """See ``Job.aperform_at``."""
            ...

        @classmethod
        def perform_inline(cls: type[HasEnumerator[P]], *args: P.args, **kwargs: P.kwargs) -> None:
            """See ``Job.perform_inline``."""
            ...


def _check(job_class: type[IterableJob]) -> None:
    """Check the methods of a class, and give it its ``perform``.

    Raises:
        InvalidJob: naming what is wrong.
    """
    name = job_class.__name__
    if "perform" in vars(job_class):
        raise InvalidJob(
            f"{name}.perform: an iterable job has build_enumerator and each_iteration instead"
        )
    _check_seconds(job_class)
    _check_plain(job_class)
    build = _bound(job_class, "build_enumerator")
    if build is None:
        return  # a base
    each = _bound(job_class, "each_iteration")
    if each is None:
        raise InvalidJob(f"{name} has no each_iteration, which is called with each item")
    taken = Parameters(f"{name}.each_iteration", each)
    perform = _performing(name, build)
    given = Parameters(f"{name}.build_enumerator", perform.__get__(object()))
    owner: Any = job_class
    owner.perform = perform
    job_class.takes_arguments = _takes_arguments(taken, given)
    job_class.wraps = job_class.around_iteration is not IterableJob.around_iteration


def _bound(job_class: type, name: str) -> Any:
    function: Any = inspect.getattr_static(job_class, name, None)
    if function is None or getattr(function, "__isabstractmethod__", False):
        return None
    # Bound to a stand-in: the class may not be fit to be instantiated here.
    return function.__get__(object(), job_class) if hasattr(function, "__get__") else function


def _performing(name: str, build: Callable[..., Any]) -> Any:
    """A ``perform`` with the parameters of an enumerator but its cursor."""
    found = signature(f"{name}.build_enumerator", build)
    parameters = list(found.parameters.values())
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in by_position:
        raise InvalidJob(
            f"{name}.build_enumerator{found}: it is called with the cursor, and then the "
            "arguments of the job; write (self, cursor, ...)"
        )

    def perform(self: IterableJob, *args: Any) -> None:
        IterableJob.perform(self, *args)

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    shown: Any = perform
    shown.__signature__ = found.replace(parameters=[own, *parameters[1:]], return_annotation=None)
    return shown


def _takes_arguments(taken: Parameters, given: Parameters) -> bool:
    (fewest, most), (least, largest) = taken.span, given.span
    if most == 1 and fewest <= 1:
        return False
    if fewest > 1 + least or most < 1 + largest:
        raise InvalidJob(
            f"{taken}: it is called with the item, and with the arguments of {given} if it takes "
            "any: let it take those, *args, or the item alone"
        )
    return True


def _check_plain(job_class: type[IterableJob]) -> None:
    """Refuse what nobody would await: its items would be done by nobody."""
    for method in _METHODS:
        function = getattr(job_class, method, None)
        if is_async(function) or inspect.isasyncgenfunction(function):
            raise InvalidJob(
                f"{job_class.__name__}.{method} is async, which no iterable job is: write a plain "
                "def, or push a job with an async def perform for each item"
            )


def _check_seconds(job_class: type[IterableJob]) -> None:
    choices: Sequence[tuple[str, object, bool]] = (
        ("save_every", job_class.save_every, False),
        ("max_iteration_runtime", job_class.max_iteration_runtime, True),
    )
    for option, value, may_be_none in choices:
        if value is None and may_be_none:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise InvalidJob(f"{job_class.__name__}.{option}: seconds above 0, not {value!r}")
