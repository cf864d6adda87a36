"""What is done to whom and when: decided by a seed alone, before anything runs."""

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault that can be injected.

    Attributes:
        weight: how often it comes, beside the others.
        lasts_s: between how many seconds it lasts; (0, 0) for what is over at once.
        promise: what must hold meanwhile, for the table.
    """

    weight: int
    lasts_s: tuple[float, float]
    promise: str


KINDS: Final[dict[str, Kind]] = {
    "kill worker": Kind(30, (0, 0), "its job starts again within 1 s"),
    "kill poller": Kind(8, (0, 0), "nothing due is lost or doubled"),
    "kill master": Kind(4, (0, 0), "its workers finish, a new one starts at once"),
    "kill instance": Kind(4, (0, 0), "another process returns its jobs"),
    "stop worker": Kind(8, (0.2, 3), "its job goes on where it was"),
    "stop poller": Kind(4, (0.5, 4), "workers go on"),
    "stop master": Kind(4, (0.5, 4), "children go on, none is killed for it"),
    "freeze instance": Kind(3, (0.5, 4), "all goes on where it was"),
    "term worker": Kind(4, (0, 0), "finishes its job and is replaced"),
    "term instance": Kind(4, (0, 0), "drains, exit status 0"),
    "quit instance": Kind(3, (0, 0), "gives back, exit status 0"),
    "quiet instance": Kind(3, (0.2, 2), "takes no job meanwhile"),
    "flood of signals": Kind(2, (0, 0), "changes nothing"),
    "restart Redis": Kind(3, (0.1, 2), "nothing acknowledged is lost"),
    "kill Redis": Kind(3, (0.1, 2), "nothing acknowledged is lost"),
    "stop Redis": Kind(3, (0.2, 3), "waited for"),
    "fill Redis": Kind(3, (0.5, 3), "drains, refuses what is new"),
    "flush scripts": Kind(4, (0, 0), "sent again"),
    "kill connections": Kind(4, (0, 0), "nothing is lost or doubled"),
    "cut line": Kind(6, (0, 0), "nothing is lost or doubled"),
    "reset line": Kind(4, (0, 0), "nothing is lost or doubled"),
    "refuse line": Kind(3, (0.2, 4), "waited for"),
    "black hole": Kind(3, (0.2, 4), "waited for"),
    "slow line": Kind(3, (0.5, 3), "slower"),
    "one byte at a time": Kind(3, (0.5, 2), "slower"),
    "lose reply": Kind(10, (0, 0), "nothing is lost or doubled"),
    "lose request": Kind(6, (0, 0), "nothing is lost or doubled"),
    "fail over": Kind(10, (0.2, 3), "nothing that the replica had is lost"),
}
WITH_SENTINELS: Final = (
    *("kill worker", "kill poller", "kill master", "kill instance", "stop worker", "stop poller"),
    *("stop master", "freeze instance", "term worker", "term instance", "quit instance"),
    *("quiet instance", "flood of signals", "fail over"),
)
"""What needs neither a proxy nor one server that stays."""
COMMANDS: Final = ("claim", "retry", "give_back", "promote", "beat", "BLMOVE", "due")


@dataclass(frozen=True, slots=True)
class Act:
    """One fault.

    Attributes:
        at_s: seconds after the beginning.
        kind: a key of `KINDS`.
        instance: number of the instance that it hits.
        draw: picks a worker among those that live then; 0 to below 1.
        lasts_s: until it is taken back.
        command: of which a message is lost.
    """

    at_s: float
    kind: str
    instance: int
    draw: float
    lasts_s: float
    command: str

    def __str__(self) -> str:
        """As a line of ``--plan``."""
        lasts = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        what = f"{self.kind} of {self.command}" if self.kind.startswith("lose") else self.kind
        return f"{self.at_s:8.2f} s  instance {self.instance + 1}  {what}{lasts}"


def plan(
    seed: int, seconds: float, *, every_s: float, instances: int, only: Collection[str] = ()
) -> list[Act]:
    """The faults of a run: the same for the same arguments.

    Args:
        seed: of the random numbers.
        seconds: that the run lasts.
        every_s: mean time between two faults.
        instances: how many there are.
        only: names of `KINDS`; if empty, all that need no sentinels.
    """
    rng = random.Random(seed)
    names = [name for name in KINDS if name in only or (not only and name != "fail over")]
    weights = [KINDS[name].weight for name in names]
    acts: list[Act] = []
    at_s = every_s
    while at_s < seconds:
        name = rng.choices(names, weights)[0]
        acts.append(
            Act(
                at_s,
                name,
                rng.randrange(instances),
                rng.random(),
                rng.uniform(*KINDS[name].lasts_s),
                rng.choice(COMMANDS),
            )
        )
        at_s += rng.uniform(0.2, 1.8) * every_s
    return acts
