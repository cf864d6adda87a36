"""Returning what dead workers and dead instances held.

A private list belongs to one processor of one incarnation of one instance, so its name alone says
whose death frees it. A worker's death is known at once, from the master; an instance's when its
heartbeat ran out, or earlier by proof on the same host. No running time is ever a reason.

Only the job that was running when its worker died is charged with that death. It is counted in the
payload, and a worker that claims it for the fourth time buries it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from jobd import faults, log
from jobd.clock import Clock
from jobd.errors import MalformedPayload, RedisRejected
from jobd.keys import PrivateList
from jobd.payload import decode, encode
from jobd.scoreboard import Scoreboard, fingerprint
from jobd.store import Store

_PAGE: Final = 100
_EMPTY_SWEEPS: Final = 2
_SUSPECT_FOR_S: Final = 5.0
"""A heartbeat that a FLUSHALL took away is back within a second; a dead one is not."""
_SWEEP_EVERY_S: Final = 8.0
"""With the life of a heartbeat and the time of suspicion: jobs are back within 75 s."""
_LARGEST_PARSED_BYTES: Final = 16_000_000
_UNTRIMMED: Final = 1_000_000_000
"""The limits of the dead set are the workers' to keep, at the next burial."""


class Death(msgspec.Struct, frozen=True):
    """What is known of a worker's death.

    Attributes:
        reason: ``SIGKILL``, ``exit 3``, ...
        running: fingerprint of the job that was; empty if none was, None if nobody knows.
        finished: fingerprints of jobs that were done and perhaps not acknowledged.
        jid: of the job that was running, for the log.
        time_limit: seconds that this job was killed for, or 0.
        max_memory: bytes that this job was killed for, or 0.
    """

    reason: str
    running: str | None = None
    finished: tuple[str, ...] = ()
    jid: str = ""
    time_limit: float = 0.0
    max_memory: int = 0

    def is_of(self, raw: bytes, *, is_alone: bool) -> bool:
        """Whether a job was running when the worker died; ``is_alone``: it held no other."""
        return is_alone if self.running is None else fingerprint(raw) == self.running


class Witness(Protocol):
    """Tells which other instances live, and which of those on this host can be proved dead."""

    def live(self, identities: Sequence[str]) -> dict[str, bool]:
        """Which of these have a heartbeat."""
        ...

    def dead(self, identity: str, lists: Sequence[PrivateList]) -> set[PrivateList]:
        """Those private lists of another instance whose owner is dead beyond doubt."""
        ...


class Recovery:
    """Sweeps private lists.

    Args:
        store: over the poller's connection.
        identity: of this instance.
        queues: every queue that this instance serves.
        scoreboard: who lives in this instance.
        witness: tells who lives.
        clock: for how long a heartbeat has been missing.
        keeps_running_jobs: whether this instance's jobs lie in Redis while they run.
    """

    def __init__(
        self,
        store: Store,
        identity: str,
        queues: Sequence[str],
        *,
        scoreboard: Scoreboard,
        witness: Witness,
        clock: Clock,
        keeps_running_jobs: bool = True,
    ) -> None:
        self._store = store
        self._identity = identity
        self._queues = queues
        self._scoreboard = scoreboard
        self._witness = witness
        self._clock = clock
        self._keeps_running_jobs = keeps_running_jobs
        self._empty_sweeps: dict[str, int] = {}
        self._suspected_since: dict[str, float] = {}
        self._emptied: list[tuple[str, str]] = []  # a private list of a dead worker, and its queue

    def recover_worker(self, slot: int, incarnation: int, death: Death, thread: int = 0) -> None:
        """Return what a thread of a dead worker of ours held, or tell that it is lost."""
        if death.jid and not self._keeps_running_jobs:
            log.event(
                "a job is lost: its worker died, and fetch: basic keeps no running job in Redis; "
                "fetch: reliable does",
                level="error",
                job_jid=death.jid,
                reason=death.reason,
            )
        processor = f"{slot}.{thread}.{incarnation}"
        for queue in self._queues:
            key = self._store.keys.private(self._identity, processor, queue)
            self._return_or_tell(key, queue, death)
            self._emptied.append((key, queue))

    def look_again(self) -> None:
        """Return what came to the lists of dead workers after they were emptied.

        A push wakes a BLMOVE that was waiting when its worker died, until the server has read the
        end of that connection. Without this look the job would wait for the next sweep.
        """
        while self._emptied:
            self._return_or_tell(*self._emptied[0], None)
            self._emptied.pop(0)

    def sweep(self) -> float:
        """Return what lies in private lists whose owner is dead; forget lists that stay empty.

        Returns:
            Seconds until the next sweep is useful.
        """
        names = self._store.private_lists()
        parsed = {name: self._store.keys.parse_private(name) for name in names}
        lists = {name: private for name, private in parsed.items() if private is not None}
        suspects = self._suspects(lists)
        now = self._clock.monotonic()
        since = {name: self._suspected_since.get(name, now) for name in suspects}
        self._suspected_since = since
        guilty = {name for name in suspects if now - since[name] >= _SUSPECT_FOR_S}
        for name in guilty | self._proved(lists, suspects):
            self._sweep_list(name, lists[name])
        self._empty_sweeps = {name: n for name, n in self._empty_sweeps.items() if name in lists}
        return _SUSPECT_FOR_S if suspects - guilty else _SWEEP_EVERY_S

    def _suspects(self, lists: Mapping[str, PrivateList]) -> set[str]:
        """Lists of instances without a heartbeat, and of our own workers that are gone.

        The death of one of our own is told by the master, who knows the job that was running: what
        has been told but not heard yet must not go back uncharged.
        """
        others = sorted({private.identity for private in lists.values()} - {self._identity})
        live = self._witness.live(others) if others else {}

        def is_suspect(private: PrivateList) -> bool:
            if private.identity == self._identity:
                return self._is_gone(private)
            return not live[private.identity]

        return {name for name, private in lists.items() if is_suspect(private)}

    def _proved(self, lists: Mapping[str, PrivateList], suspects: set[str]) -> set[str]:
        by_instance: dict[str, list[PrivateList]] = {}
        for name, private in lists.items():
            if private.identity != self._identity and name not in suspects:
                by_instance.setdefault(private.identity, []).append(private)
        dead = {
            private
            for identity, others in by_instance.items()
            for private in self._witness.dead(identity, others)
        }
        return {name for name, private in lists.items() if private in dead}

    def sweep_own(self) -> None:
        """At the very end, when no worker is left: return everything that this instance held."""
        for name in self._store.private_lists():
            private = self._store.keys.parse_private(name)
            if private is not None and private.identity == self._identity:
                self._return_or_tell(name, private.queue, None)
                self._store.forget(name)

    def _is_gone(self, private: PrivateList) -> bool:
        # A later incarnation than the master has noted is one that it is just forking.
        current = self._scoreboard.read_assignment(private.slot)
        has_successor = private.incarnation < current.incarnation
        return has_successor or (private.incarnation == current.incarnation and not current.pid)

    def _sweep_list(self, name: str, private: PrivateList) -> None:
        # A worker of our own is charged where its death is told; what is found here came later.
        death = None if private.identity == self._identity else Death("its instance died")
        if self._return_or_tell(name, private.queue, death):
            self._empty_sweeps.pop(name, None)
            return
        # A BLMOVE that was waiting when its owner died may still fill the list: look twice.
        sweeps = self._empty_sweeps[name] = self._empty_sweeps.get(name, 0) + 1
        if sweeps >= _EMPTY_SWEEPS:
            self._store.forget(name)

    def _return_or_tell(self, key: str, queue: str, death: Death | None) -> bool:
        """Empty a list; True if it held something. A queue that refuses its jobs is told of."""
        try:
            return self._return(key, queue, death) > 0
        except RedisRejected as error:
            # The other lists must not wait for this one, which the next sweep finds again.
            log.event("jobs not recovered", level="error", queue=queue, reason=str(error))
            return True

    def _return(self, key: str, queue: str, death: Death | None) -> int:
        """Empty a private list into its queue, the oldest job to run next; O(jobs held)."""
        returned = 0
        finished = Counter(death.finished if death else ())
        page = self._store.held(key, _PAGE)
        is_alone = len(page) == 1
        while page:
            faults.point("returning")
            done, rest = _sort_out(page, finished)
            if done:
                self._store.acknowledge(key, *done)
            back = [
                (raw, again)
                for raw in rest
                if (again := self._as_it_goes_back(key, raw, death, is_alone=is_alone)) is not None
            ]
            if back:
                self._store.give_back(key, queue, back)
            returned += len(back)
            page = self._store.held(key, _PAGE)
        if returned:
            reason = death.reason if death else None
            log.event("jobs recovered", level="warning", queue=queue, jobs=returned, reason=reason)
        return returned

    def _as_it_goes_back(
        self,
        key: str,
        raw: bytes,
        death: Death | None,
        *,
        is_alone: bool,
    ) -> bytes | None:
        """The payload as it is queued again, charged if it ran; None if it was buried."""
        if death is None or not death.is_of(raw, is_alone=is_alone):
            return raw
        if len(raw) > _LARGEST_PARSED_BYTES:
            self._bury_unparsed(key, raw, death)
            return None
        return _charged(raw, death)

    def _bury_unparsed(self, key: str, raw: bytes, death: Death) -> None:
        """Bury a job that may have killed its worker by its size: parsing it may kill us too."""
        log.event(
            "a job of this size was running when its worker died: buried as it is",
            level="error",
            bytes=len(raw),
            reason=death.reason,
        )
        now_s = self._clock.now_ms() / 1000 + self._scoreboard.clock_offset_s
        self._store.bury(key, raw, raw, now_s=now_s, max_jobs=_UNTRIMMED, timeout_s=now_s)


def _sort_out(page: Sequence[bytes], finished: Counter[str]) -> tuple[list[bytes], list[bytes]]:
    """Those that are done, each of ``finished`` counting once, and the others."""
    done: list[bytes] = []
    rest: list[bytes] = []
    for raw in page:
        name = fingerprint(raw)
        is_done = finished[name] > 0
        finished[name] -= is_done
        (done if is_done else rest).append(raw)
    return done, rest


def _charged(raw: bytes, death: Death) -> bytes:
    """The payload with one death more, or marked as failed; as it is, if it does not parse."""
    try:
        payload: dict[str, Any] = decode(raw)
    except MalformedPayload:
        return raw
    if death.time_limit or death.max_memory:
        # It has not crashed, it has failed: the next worker settles that, with the app's hooks.
        mark = "timed_out" if death.time_limit else "outgrown"
        payload[mark] = death.time_limit or death.max_memory
        return encode(payload)
    recovered = payload.get("recovered")
    payload["recovered"] = (recovered if isinstance(recovered, int) else 0) + 1
    payload["recovered_reason"] = death.reason
    return encode(payload)
