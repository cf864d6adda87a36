"""What a run found: values by case, side and figure, round by round."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.figures import Figure


def _three_levels() -> dict[str, dict[str, dict[str, list[float]]]]:
    return defaultdict(lambda: defaultdict(lambda: defaultdict(list)))


@dataclass(slots=True)
class Results:
    """Filled while a run goes on.

    Attributes:
        values: case, side and figure to the values of the rounds.
        missing: what was not measured, and why, in the order in which it came up.
    """

    values: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=_three_levels)
    missing: list[str] = field(default_factory=list[str])

    def add(self, case: str, side: str, figure: str, value: float) -> None:
        """One round's value."""
        self.values[case][side][figure].append(value)

    def of(self, case: str, side: str, figure: str) -> Sequence[float]:
        """All rounds; empty if nothing was measured."""
        return self.values.get(case, {}).get(side, {}).get(figure, ())

    def measured(self, case: str, figure: Figure) -> list[str]:
        """The sides that have the figure."""
        return [side for side, found in self.values.get(case, {}).items() if found.get(figure.name)]
