"""What an instance of jobd tells of itself beyond Sidekiq: its workers, restarts and last exits.

The shape is that of `jobd.poller.heartbeat`; what an older or newer jobd leaves out is empty.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from jobd.api.replies import document, mapping, moment, number, real, string


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker's slot.

    Attributes:
        pid: 0 while there is no process.
        incarnation: how many processes the slot has had.
        state: ``idle``, ``busy``, ``booting``, ``waiting``, ``dead`` and so on.
        since: when its process was started.
        pss_kb: its memory with shared pages split among those that share them; 0 if not known.
        processed: jobs that its process has run, failures included.
        restarts: how often a process of the slot was replaced.
        last_exit: how the one before ended; empty if it is the first.
        class_name: of the running job; empty if none runs, as are the two that follow. Of several
            the one that has run longest.
        jobs: how many run; `WorkSet` has each.
    """

    slot: int
    pid: int
    incarnation: int
    state: str
    since: datetime | None
    rss_kb: int
    pss_kb: int
    processed: int
    failed: int
    restarts: int
    last_exit: str
    class_name: str
    jid: str
    run_at: datetime | None
    jobs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One master with its poller and workers.

    Attributes:
        state: ``running``, ``quiet`` or ``stopping``; empty if its poller is silent.
        revision: of the application; empty if nothing tells.
        generation: how many configurations it has had.
        facts: everything that it tells, as text.
    """

    state: str
    version: str
    revision: str
    host: str
    pid: int
    poller_pid: int
    started_at: datetime | None
    generation: int
    workers: tuple[Worker, ...]
    facts: dict[str, str]

    @property
    def restarts(self) -> int:
        """How often a worker was replaced."""
        return sum(worker.restarts for worker in self.workers)

    def as_dict(self) -> dict[str, Any]:
        """What JSON can carry of it; times in ISO 8601."""
        found = asdict(self)
        del found["facts"]
        found["started_at"] = _iso(self.started_at)
        for worker in found["workers"]:
            worker["since"], worker["run_at"] = _iso(worker["since"]), _iso(worker["run_at"])
        return found


def parse_instance(told: Mapping[str, str]) -> Instance:
    """Read the fields of ``jobd:instance:IDENTITY``; whatever is wrong in them is empty."""
    listed = document(told.get("workers", "").encode("utf-8", "replace"))
    workers = cast("list[object]", listed) if isinstance(listed, list) else []
    return Instance(
        state=told.get("state", ""),
        version=told.get("version", ""),
        revision=told.get("revision", ""),
        host=told.get("host", ""),
        pid=number(told.get("pid")),
        poller_pid=number(told.get("poller_pid")),
        started_at=_seconds(told.get("started_at")),
        generation=number(told.get("generation")),
        workers=tuple(_worker(mapping(each)) for each in workers),
        facts=dict(told),
    )


def _worker(told: dict[str, Any]) -> Worker:
    return Worker(
        slot=number(told.get("slot")),
        pid=number(told.get("pid")),
        incarnation=number(told.get("incarnation")),
        state=string(told.get("state")),
        since=_seconds(told.get("since")),
        rss_kb=number(told.get("rss_kb")),
        pss_kb=number(told.get("pss_kb")),
        processed=number(told.get("processed")),
        failed=number(told.get("failed")),
        restarts=number(told.get("restarts")),
        last_exit=string(told.get("last_exit")),
        class_name=string(told.get("class")),
        jid=string(told.get("jid")),
        run_at=_seconds(told.get("run_at")),
        jobs=number(told.get("jobs")),
    )


def _seconds(value: object) -> datetime | None:
    found = real(value)
    return moment(found * 1000) if found else None


def _iso(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()
