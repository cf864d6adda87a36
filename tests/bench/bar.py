"""The bar: what jobd has to reach, against whom, and whether it does."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench import cases, scale
from tests.bench.figures import Figure, Spread, ratio
from tests.bench.results import Results
from tests.bench.side import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One line.

    Attributes:
        case: of which the figures are.
        figure: that is compared.
        factor: how many times theirs; or the limit itself, without ``against``.
        against: name of a side; "peers" for the best of the Python peers; None for a limit.
        their_figure: if it is another one.
        ours: the side that is to reach it.
    """

    case: str
    figure: Figure
    factor: float
    against: str | None
    their_figure: Figure | None = None
    ours: str = "jobd"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a bar came out.

    Attributes:
        theirs: who was compared with, and their median; None if nothing was measured.
        reached: ours in multiples of theirs, or ours for a limit.
        is_met: None where a side is missing.
    """

    bar: Bar
    ours: float | None
    theirs: tuple[str, float] | None
    reached: float | None
    is_met: bool | None


PEERS = "peers"

BARS = (
    Bar(case="noop", figure=cases.RATE, factor=15, against=PEERS),
    Bar(case="noop", figure=cases.RATE, factor=4, against="sidekiq"),
    Bar(case="noop", figure=cases.RATE, factor=0.6, against="prototype"),
    Bar(case="noop", figure=cases.RATE, factor=8, against=PEERS, ours="jobd-info"),
    Bar(case="noop", figure=cases.RATE, factor=2.5, against=PEERS, ours="jobd-batch1"),
    Bar(case="push", figure=cases.PUSHES, factor=0.8, against="floor"),
    Bar(case="push", figure=cases.PUSHES, factor=1, against=PEERS),
    Bar(case="bulk", figure=cases.PUSHES, factor=1, against="sidekiq"),
    Bar(case="pickup", figure=cases.P50, factor=0.7, against=PEERS),
    Bar(case="pickup", figure=cases.P99, factor=0.7, against=PEERS),
    Bar(case="pickup5", figure=cases.P50, factor=0.7, against=PEERS),
    Bar(case="pickup5", figure=cases.P99, factor=0.7, against=PEERS),
    Bar(case="memory", figure=cases.PSS_MORE, factor=0.6, against=PEERS),
    Bar(case="memory", figure=cases.COLD, factor=1, against=PEERS),
    Bar(case="idle", figure=cases.IDLE_COMMANDS, factor=10, against=None),
    Bar(case="idle", figure=cases.IDLE_CPU, factor=1, against=None),
    Bar(case="noop", figure=cases.TRIPS, factor=0.5, against=PEERS),
    Bar(case="noop", figure=cases.COMMANDS, factor=0.5, against=PEERS),
    Bar(case="noop", figure=cases.SERVER, factor=0.5, against=PEERS),
    Bar(case="sleep8", figure=cases.RATE, factor=0.95, against="ideal"),
    Bar(
        case="backlog",
        figure=scale.rate_at(5_000_000),
        factor=0.95,
        against="jobd",
        their_figure=scale.rate_at(10_000),
    ),
    Bar(case="recover", figure=scale.RECOVER, factor=1, against=None),
)


def verdict(bar: Bar, results: Results, sides: Sequence[Side]) -> Verdict:
    """Compare what was measured; with nothing to compare, nothing is met or missed."""
    ours = results.of(bar.case, bar.ours, bar.figure.name)
    if not ours:
        return Verdict(bar, None, None, None, None)
    median = Spread.of(ours).median
    if bar.against is None:
        return Verdict(bar, median, None, median, is_reached(bar.figure, median, bar.factor))
    figure = bar.their_figure or bar.figure
    who = _best(bar, figure, results, sides) if bar.against == PEERS else bar.against
    theirs = results.of(bar.case, who, figure.name) if who else ()
    if who is None or not theirs:
        return Verdict(bar, median, None, None, None)
    reached = ratio(ours, theirs)
    is_met = is_reached(bar.figure, reached, bar.factor)
    return Verdict(bar, median, (who, Spread.of(theirs).median), reached, is_met)


def is_reached(figure: Figure, value: float, wanted: float) -> bool:
    """Whether a value is at least as good."""
    return value >= wanted if figure.better == "higher" else value <= wanted


def _best(bar: Bar, figure: Figure, results: Results, sides: Sequence[Side]) -> str | None:
    medians = {
        side.name: Spread.of(values).median
        for side in sides
        if side.kind == "peer" and (values := results.of(bar.case, side.name, figure.name))
    }
    best = max if figure.better == "higher" else min
    return best(medians, key=medians.__getitem__) if medians else None
