"""How much is measured: rounds, seconds and counts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Of one run.

    Attributes:
        rounds: of each case; all sides are measured in each.
        warm_s: seconds after the first finished job that are not counted.
        window_s: seconds of throughput that are measured after that.
        push_s: seconds of pushing.
        pings: jobs whose pickup is measured.
        pause_s: mean pause between two of them.
        idle_s: seconds of idleness.
        due: jobs that fall due at one moment.
        backlogs: queued jobs, of the scale cases.
        scheduled: jobs of which one in a hundred is due.
        patience_s: seconds that a side may go without finishing a job that is waited for.
        budget_s: no measurement begins later than this; None for no limit.
    """

    rounds: int
    warm_s: float
    window_s: float
    push_s: float
    pings: int
    pause_s: float
    idle_s: float
    due: int
    backlogs: tuple[int, ...]
    scheduled: int
    patience_s: float = 60.0
    budget_s: float | None = None


FULL = Effort(
    rounds=5,
    warm_s=0.5,
    window_s=2.0,
    push_s=1.0,
    pings=100,
    pause_s=0.05,
    idle_s=20.0,
    due=10_000,
    backlogs=(10_000, 1_000_000, 5_000_000),
    scheduled=1_000_000,
)
QUICK = Effort(
    rounds=1,
    warm_s=0.3,
    window_s=0.6,
    push_s=0.3,
    pings=20,
    pause_s=0.03,
    idle_s=2.0,
    due=10_000,
    backlogs=(10_000, 1_000_000),
    scheduled=100_000,
    patience_s=15.0,
    budget_s=150.0,
)
TINY = Effort(
    rounds=1,
    warm_s=0.05,
    window_s=0.2,
    push_s=0.05,
    pings=3,
    pause_s=0.01,
    idle_s=0.2,
    due=100,
    backlogs=(1_000, 5_000),
    scheduled=20_000,
)
EFFORTS = {"full": FULL, "quick": QUICK, "tiny": TINY}
