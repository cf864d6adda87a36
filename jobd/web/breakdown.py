"""The jobs of a queue by their classes: what is it that waits there?

A list keeps no counts, so the jobs themselves are looked at: those that run next, for a few
hundredths of a second.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from jobd.api import Queue
from jobd.clock import Clock
from jobd.web.addresses import address_of
from jobd.web.inert import cut
from jobd.web.search import BUDGET_S

_STEP: Final = 500
_MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassGroup:
    """Jobs of one class.

    Attributes:
        class_name: empty for what is no job.
        class_address: what stands for it in addresses.
    """

    class_name: str
    class_address: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """What a look has found.

    Attributes:
        groups: the largest first.
        more: how many classes there are besides.
        seen: how many jobs were looked at.
    """

    groups: Sequence[ClassGroup]
    more: int
    seen: int


def by_class(queue: Queue, *, deepest: int, clock: Clock) -> Breakdown:
    """Look at the jobs that run next, until the time is up, but no deeper than that."""
    ends_at = clock.monotonic() + BUDGET_S
    counts: Counter[str] = Counter()
    for page in range(1, deepest // _STEP + 1):
        records = queue.page(page, _STEP)
        counts.update("" if each.is_malformed else each.display_class for each in records)
        if len(records) < _STEP or clock.monotonic() >= ends_at:
            break
    groups = [
        ClassGroup(class_name=cut(name, 200), class_address=address_of(name), count=count)
        for name, count in counts.most_common(_MOST)
    ]
    return Breakdown(groups=groups, more=len(counts) - len(groups), seen=counts.total())
