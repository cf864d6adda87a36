"""How long jobs of a class usually take, or wait in a queue: by the histograms of the last hour."""

import functools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from jobd.api import Group, JobMetrics, Metrics
from jobd.web.site import Visit

_LIFE_S: Final = 60.0
_MOST_AT_ONCE: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """Seconds that half, 95 and 99 of 100 jobs of a class did not exceed."""

    p50_s: float
    p95_s: float
    p99_s: float


def usual_of(job: JobMetrics) -> Usual | None:
    """Of metrics by the minute; None if no durations are known."""
    p50, p95, p99 = job.p50_ms, job.p95_ms, job.p99_ms
    if p50 is None or p95 is None or p99 is None:
        return None
    return Usual(p50_s=p50 / 1000, p95_s=p95 / 1000, p99_s=p99 / 1000)


def usual_times(
    visit: Visit, names: Collection[str], by: Group | Literal["wait"] = "class"
) -> dict[str, Usual]:
    """The usual times of these classes (or queues, or hosts), as far as they are known.

    Each costs a round trip and is kept for a minute; a page asks for some only, and the next one
    for the others.
    """
    now_s = visit.access.clock.monotonic()
    found: dict[str, Usual] = {}
    asked = 0
    for name in sorted(names):
        kept = visit.site.memory.get(("usual", by, name), now_s)
        if kept is None and asked < _MOST_AT_ONCE:
            asked += 1
            make = functools.partial(_asked, visit, name, by)
            kept = visit.site.memory.recall(("usual", by, name), now_s, _LIFE_S, make)
        if kept:
            found[name] = kept[0]
    return found


def _asked(visit: Visit, name: str, by: Group | Literal["wait"]) -> tuple[Usual, ...]:
    """None or one: a class that did not run is remembered, too."""
    usual = usual_of(Metrics(access=visit.access, by=by).for_job(name, minutes=60).job)
    return () if usual is None else (usual,)
