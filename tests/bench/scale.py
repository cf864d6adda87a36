"""The cases that look at growth: the same work with more jobs, queues, workers, instances.

They write Sidekiq's payloads into the server directly, so they take sides that read those.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobd.keys import Keys
from tests.bench.case import Case, Measure
from tests.bench.cases import RATE, SERVER, ServerMeter
from tests.bench.effort import FULL, Effort
from tests.bench.figures import Figure, rate
from tests.bench.side import Deployment, Side
from tests.bench.stage import LOOK_S, Failed, Stage

# KEYS  1 a queue, or the set `schedule`
# ARGV  1 number of the first job, 2 how many, 3 format of a payload, 4 score, or "" for a queue
_MAKE_JOBS = """
local jobs = {}
for i = 0, tonumber(ARGV[2]) - 1 do
  if ARGV[4] ~= '' then jobs[#jobs + 1] = ARGV[4] end
  jobs[#jobs + 1] = string.format(ARGV[3], tonumber(ARGV[1]) + i)
  if #jobs >= 1000 or i == tonumber(ARGV[2]) - 1 then
    redis.call(ARGV[4] == '' and 'LPUSH' or 'ZADD', KEYS[1], unpack(jobs))
    jobs = {}
  end
end
"""
_PAYLOAD = (
    '{"class":"Noop","args":[1],"queue":"QUEUE","retry":true,"jid":"%024x",'
    '"created_at":1790000000000,"enqueued_at":1790000000000}'
)
_CHUNK = 50_000
_FAR_S = "4000000000"
_CLAIMED = 10_000
_OWNERS = 16
# More than the quickest side runs between two looks, and few enough to be made in a moment.
_LEVEL = 20_000

RECOVER = Figure("recover_s", "s from the first to the last", "lower")
ALONE = Figure("jobs_per_s_alone", "jobs/s, due ones alone", "higher")
AMONG = Figure("jobs_per_s_among", "jobs/s, 1 % is due", "higher")


class Maker:
    """Makes jobs inside the server, which is ten times as quick as sending them."""

    def __init__(self, stage: Stage) -> None:
        self._client: Any = stage.client
        self._script: Any = stage.client.register_script(_MAKE_JOBS)
        self._made = 0

    def make(self, count: int, key: str, *, queue: str = "q0", score_s: str = "") -> None:
        """So many more."""
        payload = _PAYLOAD.replace("QUEUE", queue)
        while count > 0:
            now = min(count, _CHUNK)
            self._script(keys=[key], args=[self._made, now, payload, score_s])
            self._made += now
            count -= now

    def top_up(self, queues: Sequence[str], level: int) -> None:
        """As many as it takes until so many are queued, the same number in each."""
        pipe = self._client.pipeline(transaction=False)
        for queue in queues:
            pipe.llen(f"queue:{queue}")
        for queue, length in zip(queues, pipe.execute(), strict=True):
            self.make(level // len(queues) - length, f"queue:{queue}", queue=queue)


def rate_at(level: object) -> Figure:
    """Throughput at a level."""
    return Figure(f"{RATE.name}_{level}", f"jobs/s with {level:,}", RATE.better)


def _server_at(level: object) -> Figure:
    return Figure(f"{SERVER.name}_{level}", f"µs/job of the server with {level:,}", SERVER.better)


def kept_full(
    stage: Stage, effort: Effort, side: Side, deployment: Deployment, queued: int
) -> tuple[float, float]:
    """Throughput while so many jobs are queued, by topping the queues up every few milliseconds.

    The first look is taken when every worker has run a job.

    Returns:
        jobs a second, and microseconds of the server for each.
    """
    stage.reset()
    maker, queues = Maker(stage), deployment.queue_names()
    stage.client.sadd("queues", *queues)

    def is_over(_: int) -> bool:
        maker.top_up(queues, queued)
        return time.monotonic() > end_s

    maker.top_up(queues, queued)
    with stage.running(side, deployment) as running:
        workers = deployment.workers * deployment.instances
        end_s = float("inf")
        running.until(lambda _: is_over(0) or len(running.counts()) >= workers)
        end_s = time.monotonic() + effort.warm_s + effort.window_s
        meter, before = ServerMeter(stage), running.count()
        samples = running.until(is_over)
        jobs = max(1, running.count() - before)
        return rate(samples, effort.warm_s), 1e6 * meter.read()[2] / jobs


def growing(step: Callable[[int], Deployment], levels: Sequence[int]) -> Measure:
    """Throughput of the deployment of each level in turn."""

    def measure(stage: Stage, effort: Effort, side: Side) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for level in levels:
            found |= _named(level, kept_full(stage, effort, side, step(level), _LEVEL))
        return found

    return measure


def long_queue(stage: Stage, effort: Effort, side: Side) -> Mapping[str, float]:
    """Throughput with each backlog in turn."""
    found: dict[str, float] = {}
    for level, queued in zip(FULL.backlogs, effort.backlogs, strict=False):
        found |= _named(level, kept_full(stage, effort, side, Deployment(), queued))
    return found


def _named(level: int, found: tuple[float, float]) -> dict[str, float]:
    return {rate_at(level).name: found[0], _server_at(level).name: found[1]}


def many_scheduled(stage: Stage, effort: Effort, side: Side) -> Mapping[str, float]:
    """Jobs that are due at the start, alone and among a hundred times as many for later."""
    found: dict[str, float] = {}
    due = effort.scheduled // 100
    for figure, future in ((ALONE, 0), (AMONG, effort.scheduled - due)):
        stage.reset()
        maker = Maker(stage)
        maker.make(future, "schedule", score_s=_FAR_S)
        maker.make(due, "schedule", score_s="1")
        with stage.running(side, Deployment()) as running:
            samples = running.until(lambda count: count >= due)
        found[figure.name] = rate(samples, 0.0)
    return found


def recovery(stage: Stage, effort: Effort, side: Side) -> Mapping[str, float]:
    """10,000 jobs that 16 workers of a dead instance held: from the first to the last one back."""
    lists = _claimed_by_the_dead(stage)
    with stage.running(side, Deployment()):
        first_s = _when(lambda: _held(stage, lists) < _CLAIMED)
        last_s = _when(lambda: _held(stage, lists) == 0)
    return {RECOVER.name: last_s - first_s}


def _claimed_by_the_dead(stage: Stage) -> list[str]:
    keys, maker = Keys(), Maker(stage)
    identity = "elsewhere:1:0123456789ab"
    lists = [keys.private(identity, f"{slot}.0.1", "q0") for slot in range(1, _OWNERS + 1)]
    for name in lists:
        maker.make(_CLAIMED // _OWNERS, name)
    stage.client.sadd(keys.privates, *lists)
    return lists


def _held(stage: Stage, lists: list[str]) -> int:
    pipe = stage.client.pipeline(transaction=False)
    for name in lists:
        pipe.llen(name)
    return sum(pipe.execute())


def _when(is_so: Callable[[], bool], patience_s: float = 60.0) -> float:
    end_s = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > end_s:
            raise Failed(f"not recovered within {patience_s:g} s")
        time.sleep(LOOK_S / 4)
    return time.monotonic()


def _figures(levels: tuple[int, ...]) -> tuple[Figure, ...]:
    return (*map(rate_at, levels), *map(_server_at, levels))


def _is_scaled(side: Side) -> bool:
    return side.is_scaled


def _recovers(side: Side) -> bool:
    return side.is_scaled and side.kind == "jobd"


QUEUES, WORKERS, INSTANCES = (1, 10, 50), (1, 2, 8, 32), (1, 4, 16)

SCALE_CASES = (
    Case(
        name="backlog",
        title="2 workers, with so many jobs in the queue all the time",
        figures=_figures(FULL.backlogs),
        measure=long_queue,
        among=_is_scaled,
        is_quick=False,
    ),
    Case(
        name="scheduled",
        title="10,000 due jobs, alone and among 990,000 for later; 2 workers",
        figures=(AMONG, ALONE),
        measure=many_scheduled,
        needs="later",
        among=_is_scaled,
        is_quick=False,
    ),
    Case(
        name="queues",
        title="2 workers, with so many queues, all of them filled",
        figures=_figures(QUEUES),
        measure=growing(lambda number: Deployment(queues=number), QUEUES),
        among=_is_scaled,
        is_quick=False,
    ),
    Case(
        name="workers",
        title="so many workers",
        figures=_figures(WORKERS),
        measure=growing(lambda number: Deployment(workers=number), WORKERS),
        among=_is_scaled,
        is_quick=False,
    ),
    Case(
        name="instances",
        title="so many instances of one worker each",
        figures=_figures(INSTANCES),
        measure=growing(lambda number: Deployment(workers=1, instances=number), INSTANCES),
        among=_is_scaled,
        is_quick=False,
    ),
    Case(
        name="recover",
        title="10,000 jobs held by 16 workers of a dead instance go back to their queue",
        figures=(RECOVER,),
        measure=recovery,
        among=_recovers,
        is_quick=False,
    ),
)
