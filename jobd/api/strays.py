"""Keys in this database that are neither jobd's nor Sidekiq's: whose are they, and who frees them?

Another program shares the database, or has left something behind. Nothing is deleted here.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from jobd.api.access import Access
from jobd.api.replies import number, text

_STEP: Final = 1_000
_HEAD: Final = re.compile(r".[^:|/.\-]*[:|/.\-](?=.)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayGroup:
    """Stray keys that begin alike.

    Attributes:
        prefix: up to the first ``:``, ``-``, ``.``, ``/`` or ``|``, and ``*`` for what differs.
        example: one of them.
    """

    prefix: str
    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Strays:
    """What a look has found.

    Attributes:
        groups: the largest first.
        count: how many keys they hold.
        seen: about how many keys were looked at.
        size: how many there are.
        next_cursor: where to go on; empty if all were looked at.
    """

    groups: Sequence[StrayGroup]
    count: int
    seen: int
    size: int
    next_cursor: str


def stray_keys(*, start: str = "0", budget_s: float = 0.05, access: Access | None = None) -> Strays:
    """Look at the keys of the database, in no order, until the time is up.

    Args:
        start: ``next_cursor`` of a look that stopped early, to go on from there.
        budget_s: seconds; at least 1,000 keys are looked at. Each step keeps the server for less
            than a millisecond.
        access: by default that of the current app.
    """
    access = access or Access.of()
    ends_at = access.clock.monotonic() + budget_s
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    size = number(access.redis.call("DBSIZE"))
    cursor, seen = start, 0
    while True:
        following, found = access.redis.call("SCAN", cursor, "COUNT", _STEP)
        cursor, seen = text(following), seen + max(len(found), min(_STEP, size - seen))
        for name in map(text, found):
            if not access.keys.is_known(name):
                prefix = _prefix(name)
                counts[prefix] += 1
                examples.setdefault(prefix, name)
        if cursor == "0" or access.clock.monotonic() >= ends_at:
            break
    groups = [
        StrayGroup(prefix=prefix, count=count, example=examples[prefix])
        for prefix, count in counts.most_common()
    ]
    return Strays(
        groups=groups,
        count=counts.total(),
        seen=min(seen, size),
        size=size,
        next_cursor="" if cursor == "0" else cursor,
    )


def _prefix(name: str) -> str:
    head = _HEAD.match(name)
    return f"{head[0]}*" if head else name
