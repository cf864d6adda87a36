"""How long jobs of a class usually take: by the histograms of the last hour."""

import functools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from jobd.api import Metrics
from jobd.web.site import Visit

_LIFE_S: Final = 60.0
_MOST_AT_ONCE: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """Seconds that half, 95 and 99 of 100 jobs of a class did not exceed."""

    p50_s: float
    p95_s: float
    p99_s: float


def usual_times(visit: Visit, names: Collection[str]) -> dict[str, Usual]:
    """The usual times of these classes, as far as they are known.

    Each costs a round trip and is kept for a minute; a page asks for some only, and the next one
    for the others.
    """
    now_s = visit.access.clock.monotonic()
    found: dict[str, Usual] = {}
    asked = 0
    for name in sorted(names):
        kept = visit.site.memory.get(("usual", name), now_s)
        if kept is None and asked < _MOST_AT_ONCE:
            asked += 1
            make = functools.partial(_usual, visit, name)
            kept = visit.site.memory.recall(("usual", name), now_s, _LIFE_S, make)
        if kept:
            found[name] = kept[0]
    return found


def _usual(visit: Visit, name: str) -> tuple[Usual, ...]:
    """None or one: a class that did not run is remembered, too."""
    job = Metrics(access=visit.access).for_job(name, minutes=60).job
    p50, p95, p99 = job.p50_ms, job.p95_ms, job.p99_ms
    if p50 is None or p95 is None or p99 is None:
        return ()
    return (Usual(p50_s=p50 / 1000, p95_s=p95 / 1000, p99_s=p99 / 1000),)
