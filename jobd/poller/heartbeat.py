"""The heartbeat: the whole instance as one Sidekiq process, and as jobd's own hash.

Everything is read from the scoreboard, so a job that keeps the GIL cannot make its instance look
dead. Source: Sidekiq's lib/sidekiq/launcher.rb; the fields are those of 8.1 (and ``concurrency``
inside ``info``, where 6.x and 7.x look for it).
"""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from jobd import log
from jobd._version import __version__
from jobd.clock import Clock
from jobd.config import Config, app_revision
from jobd.fleet import Fleet
from jobd.metrics import Counts, Wire
from jobd.poller.instance import Instance
from jobd.poller.proof import proof_of_this_host, start_ticks
from jobd.poller.shares import Shares
from jobd.proc import resident_bytes
from jobd.pulse import Beat, Counted, Pulse
from jobd.scoreboard import InstanceState, Scoreboard, SlotState, SlotWriter, State
from jobd.tallies import Tallies, by_class, by_queue

_POLLER_SLOT: Final = 0
_SLOW_US: Final = 50_000
_SLOW_PINGS: Final = 5


class Heartbeat:
    """Publishes the instance.

    Args:
        fleet: over the poller's connection.
        instance: who it is.
        config: for what it says of itself.
        scoreboard: what its workers do.
        slot: the poller's own, which remembers what has been counted already.
        tallies: what the jobs of each class have cost.
        clock: both clocks.

    Attributes:
        is_behind: the last beat sent what one before it could not, so there may be more to send.
        reloaded: what became of the last reload or roll, as the master told it.
        round_trip_us: of the last beat; 0 before the first.
    """

    def __init__(
        self,
        fleet: Fleet,
        instance: Instance,
        config: Config,
        *,
        scoreboard: Scoreboard,
        slot: SlotWriter,
        tallies: Tallies,
        clock: Clock,
    ) -> None:
        self._fleet = fleet
        self._instance = instance
        self._scoreboard = scoreboard
        self._slot = slot
        self._tallies = tallies
        self._clock = clock
        self._wire: Wire = config.wire
        self._series = secrets.token_hex(4)  # another poller of this instance numbers its own
        self._beats = 0
        self._slow_pings = 0
        self._unsent: Counted | None = None
        self._unsent_rows: Mapping[str, Counts] = {}
        self.is_behind = False
        self.reloaded: Mapping[str, Any] = {
            "count": 0,
            "generation": 1,
            "state": "done",
            "text": "",
        }
        self.round_trip_us = 0
        self._config = config
        self._published = json.dumps(config.published, separators=(",", ":"), default=str)
        self._shares = Shares(clock)
        self._revision, self._renewals = app_revision(), 0
        self._proof: dict[str, str | bytes | int | float] = {
            **proof_of_this_host(),
            "start_ticks": start_ticks(instance.master_pid) or 0,
        }

    def beat(self) -> Beat:
        """Publish once; returns the server's answer.

        What was counted is kept until the server has taken it. After an error the same counts are
        sent under the same number, which the server counts once; what came since follows with the
        next beat.
        """
        slots = range(1, self._scoreboard.used + 1)
        states = {slot: self._read(slot) for slot in slots}
        busy = self._busy(states)
        self.is_behind = self._unsent is not None
        if self._unsent is None:
            self._beats += 1
            self._unsent = self._count(states)
        pulse = Pulse(
            work=self._work(busy),
            process=self._process(states, len(busy)),
            instance={**self._detail(states), "limits": _limits(busy)},
            counted=self._unsent,
            number=f"{self._series}.{self._beats}",
            at_s=self._clock.now_ms() / 1000 + self._scoreboard.clock_offset_s,
        )
        beat = self._fleet.beat(self._instance.identity, pulse)
        self._remember(self._unsent)
        self._unsent = None
        return beat

    def _count(self, states: dict[int, SlotState]) -> Counted:
        """What the workers counted and Redis does not know."""
        known = self._scoreboard.read(_POLLER_SLOT)
        self._unsent_rows = rows = self._tallies.added()
        return Counted(
            processed=max(sum(state.processed for state in states.values()) - known.processed, 0),
            failed=max(sum(state.failed for state in states.values()) - known.failed, 0),
            tallies=by_class(rows),
            queues=by_queue(rows),
            host=self._instance.host,
            wire=self._wire,
        )

    def _remember(self, counted: Counted) -> None:
        # Right after the reply: a poller that is killed in between counts once more what it sent.
        known = self._scoreboard.read(_POLLER_SLOT)
        self._slot.set_counts(known.processed + counted.processed, known.failed + counted.failed)
        self._tallies.publish(self._unsent_rows)

    def _read(self, slot: int) -> SlotState:
        state = self._scoreboard.read(slot)
        if self._scoreboard.read_assignment(slot).pid != state.pid:
            return msgspec.structs.replace(state, started=0.0)  # what a dead worker was doing
        return state

    def _busy(self, states: dict[int, SlotState]) -> dict[str, SlotState]:
        """What runs, by processor."""
        threads = {
            (slot, thread): self._scoreboard.read_thread(slot, thread)
            for slot, state in states.items()
            if state.is_busy
            for thread in self._scoreboard.threads(slot)
        }
        return {
            f"{slot}.{thread}.{state.incarnation}": state
            for (slot, thread), state in threads.items()
            if state.is_busy and state.incarnation == states[slot].incarnation
        }

    def _work(self, busy: dict[str, SlotState]) -> dict[str, bytes]:
        raws = self._fleet.running(self._instance.identity, busy)
        return {
            processor: json.dumps(
                {
                    "queue": state.queue,
                    "payload": raws.get(processor) or _outline(state),
                    "run_at": int(state.started),
                },
                ensure_ascii=False,
                separators=(",", ":"),
            ).encode("utf-8", "surrogateescape")
            for processor, state in busy.items()
        }

    def _process(
        self, states: dict[int, SlotState], busy: int
    ) -> dict[str, str | bytes | int | float]:
        began = self._clock.monotonic()
        self._fleet.ping()
        self.round_trip_us = rtt_us = int((self._clock.monotonic() - began) * 1e6)
        self._watch_round_trips(rtt_us)
        has_async_jobs = self._scoreboard.has_async_jobs
        info = _info(self._instance, self._config, has_async_jobs=has_async_jobs)
        return {
            "info": json.dumps(info, separators=(",", ":")),
            "concurrency": info["concurrency"],
            "busy": busy,
            "beat": self._clock.now_ms() / 1000,
            "rtt_us": rtt_us,
            "quiet": "false" if self._state is InstanceState.RUNNING else "true",
            "rss": sum(map(_rss_kb, self._pids(states))),
        }

    def _watch_round_trips(self, rtt_us: int) -> None:
        self._slow_pings = self._slow_pings + 1 if rtt_us > _SLOW_US else 0
        if self._slow_pings == _SLOW_PINGS:
            self._slow_pings = 0
            log.event(
                "Redis answers slowly: look at the network, and at what keeps its process busy",
                level="warning",
                round_trip=f"{rtt_us / 1000:.0f} ms",
            )

    @property
    def _state(self) -> InstanceState:
        return self._scoreboard.instance_state

    def _detail(self, states: dict[int, SlotState]) -> dict[str, str | bytes | int | float]:
        pids = self._pids(states)
        # Not with the first beat, which is waited for.
        shares = self._shares.look(pids) if self._beats > 1 else {}
        workers = [worker for slot in states.items() if (worker := self._worker(*slot, shares))]
        return {
            "state": self._state.name.lower(),
            "version": __version__,
            "revision": self._running_revision(),
            "pss_kb": sum(shares.values()) if len(shares) == len(pids) else 0,
            "host": self._instance.host,
            "pid": self._instance.master_pid,
            "poller_pid": os.getpid(),
            "started_at": self._instance.started_s,
            "generation": self.reloaded["generation"],
            "reloads": self.reloaded["count"],
            "reload": self.reloaded["state"],
            "reload_text": self.reloaded["text"],
            "config": self._published,
            **self._proof,
            "workers": json.dumps(workers, separators=(",", ":")),
        }

    def _pids(self, states: Mapping[int, SlotState]) -> set[int]:
        workers = (state.pid for state in states.values() if state.pid)
        return {self._instance.master_pid, os.getpid(), *workers}

    def _running_revision(self) -> str:
        """Read anew only when workers were replaced: what lies on the disk may be newer."""
        renewals = self.reloaded["count"]
        if self.reloaded["state"] == "done" and renewals != self._renewals:
            self._revision, self._renewals = app_revision(), renewals
        return self._revision

    def _worker(
        self, slot: int, state: SlotState, shares: Mapping[int, int]
    ) -> dict[str, Any] | None:
        """None of a slot that nobody sits in and nobody will."""
        seat = self._scoreboard.read_assignment(slot)
        if seat.state is State.EMPTY:
            return None
        is_there = seat.state not in {State.EMPTY, State.DEAD, State.WAITING}
        return {
            "slot": slot,
            "pid": seat.pid,
            "incarnation": seat.incarnation,
            "start_ticks": start_ticks(seat.pid) if is_there else None,
            "state": (state.state if is_there else seat.state).name.lower(),
            "since": seat.spawned,
            "rss_kb": _rss_kb(seat.pid) if is_there else 0,
            "pss_kb": shares.get(seat.pid, 0) if is_there else 0,
            "processed": state.processed,
            "failed": state.failed,
            "restarts": seat.restarts,
            "last_exit": seat.last_exit,
            "class": state.name if state.is_busy else None,
            "jid": state.jid if state.is_busy else None,
            "run_at": state.started if state.is_busy else None,
            "jobs": state.jobs or int(state.is_busy),
        }


def _info(instance: Instance, config: Config, *, has_async_jobs: bool) -> dict[str, Any]:
    capsules: dict[str, dict[str, Any]] = {
        capsule.name: {
            "concurrency": capsule.most_jobs(has_async_jobs=has_async_jobs),
            "mode": capsule.mode,
            "weights": {queue.name: queue.weight for queue in capsule.queues},
        }
        for capsule in config.capsules
    }
    names = [name for capsule in capsules.values() for name in capsule["weights"]]
    return {
        "hostname": instance.host,
        "started_at": instance.started_s,
        "pid": instance.master_pid,
        "tag": config.tag,
        "concurrency": sum(each["concurrency"] for each in capsules.values()),
        "capsules": capsules,
        "queues": list(dict.fromkeys(names)),
        "weights": [capsule["weights"] for capsule in capsules.values()],
        "labels": list(config.labels),
        "identity": instance.identity,
        "version": __version__,
        "embedded": instance.is_embedded,
    }


def _outline(state: SlotState) -> str:
    """What can be told of a running job whose payload lies nowhere (``fetch: basic``)."""
    known: dict[str, Sequence[object] | str] = {
        "class": state.name,
        "jid": state.jid,
        "queue": state.queue,
        "args": [],
    }
    return json.dumps(known)


def _limits(busy: Mapping[str, SlotState]) -> str:
    """The time limits of running jobs that have one, in seconds, by processor.

    Not in their work entries, whose fields are Sidekiq's.
    """
    limits = {name: state.time_limit for name, state in busy.items() if state.time_limit}
    return json.dumps(limits, separators=(",", ":"))


def _rss_kb(pid: int) -> int:
    return resident_bytes(pid) // 1024
