"""What is measured: a case gives numbers for one side at a time, and names none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tests.bench.effort import Effort
from tests.bench.figures import Figure
from tests.bench.side import Ability, Side
from tests.bench.stage import Stage

Measure: TypeAlias = Callable[[Stage, Effort, Side], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One measurement.

    Attributes:
        name: as in tables and for ``--only``.
        title: what is done, in one line.
        figures: what it gives; the first is the one that the chart shows.
        measure: called once a round for each side; gives the figures by name.
        needs: what a side must be able to do.
        queues: how many a worker must serve.
        among: which sides, apart from what they can do; those that a question is not about.
        with_variants: sides that differ from another one in a setting take part, too.
        is_quick: part of ``--quick``.
    """

    name: str
    title: str
    figures: tuple[Figure, ...]
    measure: Measure
    needs: Ability | None = "run"
    queues: int = 1
    among: Callable[[Side], bool] = lambda _: True
    with_variants: bool = False
    is_quick: bool = True

    def takes(self, side: Side) -> bool:
        """Whether the side can take part."""
        can = self.needs is None or self.needs in side.can
        serves = side.most_queues is None or side.most_queues >= self.queues
        is_asked = self.with_variants or not side.is_variant
        return can and serves and is_asked and self.among(side)
