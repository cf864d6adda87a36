"""The poller's loop: promote, beat, recover, obey.

Each duty has its own time. When Redis is away all of them wait together, with backoff, and the
outage and its end are told once for the whole instance. Every duty can be repeated after an error,
and a poller that is killed at any instruction is simply replaced.
"""

import contextlib
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from jobd import log, signals
from jobd.clock import Clock
from jobd.connection import Backoff
from jobd.errors import RedisDenied, RedisError, RedisRejected, RedisUnavailable
from jobd.fleet import Fleet
from jobd.poller.cancels import Cancels
from jobd.poller.heartbeat import Heartbeat
from jobd.poller.looks import Looks
from jobd.poller.promotion import Promoter
from jobd.poller.proof import start_ticks
from jobd.poller.recovery import Death, Recovery
from jobd.scoreboard import InstanceState, Scoreboard, SlotWriter, State
from jobd.wait import wait_readable

_BEAT_EVERY_S: Final = 10.0
_REST_FACTOR: Final = 10
_REFUSED_FOR_S: Final = 10.0
_COUNT_EVERY_S: Final = 10.0
_HEAR_EVERY_S: Final = 0.9
_LOOK_AGAIN_S: Final = 0.5
_CLOCKS_APART_S: Final = 1.0
_LAST_TRIES: Final = 5
_COMMANDS: Final = frozenset({"TSTP", "TERM", "TTIN", "CONT", "HUP"})

HEEDED: Final = frozenset({signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1})
IGNORED: Final = frozenset(
    {
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGTSTP,
        signal.SIGUSR2,
        signal.SIGTTOU,
        signal.SIGWINCH,
        signal.SIGPIPE,
    }
)


class Master(Protocol):
    """The poller's end of its pipe to the master."""

    def fileno(self) -> int:
        """Readable when a message has come, or when the master is gone."""
        ...

    def is_cut(self) -> bool:
        """Whether the master is gone."""
        ...

    def send(self, message: Mapping[str, object]) -> None:
        """Tell the master."""
        ...

    def receive(self) -> Sequence[Mapping[str, Any]]:
        """What the master told since the last call."""
        ...


class Duty(msgspec.Struct):
    """Something to do again and again."""

    run: Callable[[], float]
    """Does it, and returns the seconds until the next time."""
    due: float = 0.0


class Place(msgspec.Struct, frozen=True):
    """Where a poller stands.

    Attributes:
        identity: of its instance.
        slot: where the poller shows that it lives.
        orphan_s: how long the workers of a dead master may still need.
    """

    identity: str
    slot: SlotWriter
    orphan_s: float


class Services(msgspec.Struct, frozen=True):
    """What a poller does."""

    promoter: Promoter
    heartbeat: Heartbeat
    recovery: Recovery
    cancels: Cancels
    looks: Looks
    empty_trash: Callable[[float], object]
    """Forgets what was purged long before that time, in epoch seconds."""
    inspect: Callable[[], None]
    """Looks at the server itself, until it has succeeded once."""
    watch: Callable[[], float] | None = None
    """Looks at what waits, for whoever asks; returns seconds until the next time."""


class Poller:
    """Serves one instance.

    Args:
        fleet: over a connection of its own.
        place: where it stands.
        master: the pipe to the master.
        services: what it does.
        scoreboard: for the state of the instance, and for whether workers still live.
        clock: both clocks.
        backoff: between tries while Redis is away.
    """

    def __init__(
        self,
        fleet: Fleet,
        place: Place,
        *,
        master: Master,
        services: Services,
        scoreboard: Scoreboard,
        clock: Clock,
        backoff: Backoff,
    ) -> None:
        self._fleet = fleet
        self._place = place
        self._slot = place.slot
        self._master = master
        self._services = services
        self._scoreboard = scoreboard
        self._clock = clock
        self._backoff = backoff
        self._inbox = signals.SignalInbox(HEEDED)
        self._instances = 1
        self._state = InstanceState.RUNNING
        self._orphaned_at: float | None = None
        self._unreachable_since: float | None = None
        self._is_denied = False
        self._are_clocks_apart = False
        self._is_told = False
        self._refusal = ""  # of a count; what the log knows already
        self._must_stop = self._is_replaced = False
        self._beaten = (0.0, 0.0)  # when the last heartbeat began and ended
        self._deaths: list[Mapping[str, Any]] = []
        self._beat = Duty(self._beat_once)
        self._looking = Duty(self._serve_looks)
        self._recovering = Duty(self._recover)
        self._looking_again = Duty(self._look_again)
        self._duties: tuple[Duty, ...] = (
            Duty(self._inspect_once),
            self._beat,
            Duty(self._hear),
            self._looking,
            self._recovering,
            self._looking_again,
            Duty(self._promote),
            Duty(self._sweep),
            Duty(self._count),
        )
        if services.watch is not None:
            self._duties += (Duty(services.watch),)

    def open(self) -> None:
        """Install the handlers."""
        self._scoreboard.set_redis_away_since(0.0)  # what a dead one knew
        signals.ignore(IGNORED)
        self._inbox.open()

    def run(self) -> None:
        """Serve until asked to stop; then return what killed workers held, and leave."""
        self._slot.set_state(State.IDLE)
        while not self._must_stop:
            wait_s = self._step()
            wait_readable((self._inbox, self._master), wait_s)
            self._look()
        self._leave()

    def end(self) -> None:
        """Leave after this turn; for one in a thread, which no signal reaches."""
        self._must_stop = True

    def _step(self) -> float:
        """Do what is due; returns the seconds until something else is."""
        self._slot.beat()
        log.reopen_if_moved()
        try:
            for duty in self._duties:
                if duty.due <= self._clock.monotonic():
                    self._do(duty)
        except RedisUnavailable as error:
            return self._wait_for_redis(error)
        self._redis_is_back()
        soonest = min(duty.due for duty in self._duties)
        return min(max(soonest - self._clock.monotonic(), 0.0), 1.0)

    def _do(self, duty: Duty) -> None:
        try:
            wait_s = duty.run()
        except RedisUnavailable:
            raise
        except RedisError as error:
            # A key of the wrong type, a full server: it must not keep the other duties waiting.
            log.event("the server refused", level="error", reason=str(error))
            wait_s = _REFUSED_FOR_S
        duty.due = self._clock.monotonic() + wait_s

    # What comes from outside

    def _look(self) -> None:
        arrived = self._inbox.take()
        if signal.SIGUSR1 in arrived:
            log.reopen()
        self._read_messages()
        if self._scoreboard.instance_state is not self._state:
            self._state = self._scoreboard.instance_state
            self._beat.due = 0.0
        self._is_told = self._is_told or bool(arrived & {signal.SIGTERM, signal.SIGQUIT})
        is_cut = self._master.is_cut()
        if is_cut and self._orphaned_at is None:
            log.event("the master is gone; waiting for its workers", level="error")
            self._orphaned_at = self._clock.monotonic()
        if is_cut:
            # The kernel sends TERM when the master dies, and the workers drain on their own.
            self._must_stop = not self._must_wait_for_workers()
        elif self._is_told and self._state is InstanceState.STOPPING:
            # A TERM to the whole group comes here too, and whoever runs a job needs our beat.
            self._must_stop = not self._has_workers()

    def _must_wait_for_workers(self) -> bool:
        waited_s = self._clock.monotonic() - (self._orphaned_at or 0.0)
        return waited_s < self._place.orphan_s and self._has_workers()

    def _has_workers(self) -> bool:
        slots = range(1, self._scoreboard.used + 1)
        seats = (self._scoreboard.read_assignment(slot) for slot in slots)
        return any(seat.pid and start_ticks(seat.pid) for seat in seats)

    def _read_messages(self) -> None:
        for message in self._master.receive():
            if message["type"] == "died":
                self._deaths.append(message)
                self._recovering.due = 0.0
            elif message["type"] == "reloaded":
                self._services.heartbeat.reloaded = message
                self._beat.due = 0.0
            elif message["type"] == "stacks":
                self._services.looks.take(message)
                self._looking.due = 0.0
            elif message["type"] == "leave":
                self._must_stop = self._is_replaced = True
            elif message["type"] == "seats":
                # Soon, but where many come one after the other a beat is not all that is done.
                rest_s = _REST_FACTOR * (self._beaten[1] - self._beaten[0])
                self._beat.due = min(self._beat.due, self._beaten[1] + rest_s)

    # Duties

    def _inspect_once(self) -> float:
        self._services.inspect()
        return float("inf")

    def _beat_once(self) -> float:
        before_ms, began = self._clock.now_ms(), self._clock.monotonic()
        beat = self._services.heartbeat.beat()
        self._beaten = (began, self._clock.monotonic())
        local_s = (before_ms + self._clock.now_ms()) / 2000
        self._compare_clocks(beat.now_s - local_s)
        if beat.refused and beat.refused != self._refusal:
            log.event("a count was refused", level="error", reason=beat.refused)
        self._refusal = beat.refused
        if beat.command is not None:
            self._obey(beat.command)
        return _BEAT_EVERY_S

    def _compare_clocks(self, offset_s: float) -> None:
        self._scoreboard.set_clock_offset(offset_s)
        are_apart = abs(offset_s) > _CLOCKS_APART_S
        if are_apart and not self._are_clocks_apart:
            log.event(
                "this host's clock differs from the server's; due times follow the server's",
                level="warning",
                seconds=offset_s,
            )
        self._are_clocks_apart = are_apart

    def _obey(self, command: str) -> None:
        if command in _COMMANDS:
            log.event("remote command", command=command)
            self._master.send({"type": "remote", "signal": command})
        else:
            log.event("remote command refused", level="warning", command=command)

    def _hear(self) -> float:
        heard = self._fleet.heard_of(self._place.identity)
        if not heard.is_registered:
            # Somebody flushed the database: be back in the fleet before a sweep misses us.
            self._beat.due = 0.0
        if heard.is_asked:
            self._looking.due = 0.0
        for message in self._services.cancels.step(has_any=heard.has_cancelled):
            self._master.send(message)
        return _HEAR_EVERY_S

    def _serve_looks(self) -> float:
        for message in self._services.looks.step():
            self._master.send(message)
        return _HEAR_EVERY_S if self._services.looks.is_open else float("inf")

    def _recover(self) -> float:
        if self._deaths:
            # Before they are back in their queues, or a cancelled one would begin again.
            with contextlib.suppress(RedisRejected):  # as a key of the wrong type does
                self._services.cancels.learn()
        while self._deaths:
            message = self._deaths[0]
            where = {key: message[key] for key in ("slot", "incarnation", "thread")}
            finished = tuple(message["finished"])
            death = Death(
                message["reason"],
                message["running"],
                finished,
                message["jid"],
                message["time_limit"],
                message["max_memory"],
            )
            self._services.recovery.recover_worker(**where, death=death)
            self._master.send({"type": "recovered", **where})
            self._deaths.pop(0)
            self._looking_again.due = self._clock.monotonic() + _LOOK_AGAIN_S
        return float("inf")

    def _look_again(self) -> float:
        self._services.recovery.look_again()
        return float("inf")

    def _promote(self) -> float:
        return self._services.promoter.step(self._instances)

    def _sweep(self) -> float:
        wait_s = self._services.recovery.sweep()
        self._fleet.sweep()
        self._services.empty_trash(self._clock.now_ms() / 1000)
        return wait_s

    def _count(self) -> float:
        self._instances = max(self._fleet.count(), 1)
        return _COUNT_EVERY_S

    # Redis away

    def _wait_for_redis(self, error: RedisUnavailable) -> float:
        # Told once; but that it is back and does not let us in is what somebody has to know.
        is_denied = isinstance(error, RedisDenied)
        if self._unreachable_since is None or (is_denied and not self._is_denied):
            log.event(f"{error}; waiting for it", level="error")
        self._is_denied = self._is_denied or is_denied
        if self._unreachable_since is None:
            self._unreachable_since = self._clock.monotonic()
            self._scoreboard.set_redis_away_since(self._unreachable_since)
        return self._backoff.next_s()

    def _redis_is_back(self) -> None:
        if self._unreachable_since is not None:
            away_s = self._clock.monotonic() - self._unreachable_since
            self._unreachable_since, self._is_denied = None, False
            self._scoreboard.set_redis_away_since(0.0)
            self._backoff.reset()
            log.event("Redis answers again", away=away_s)

    # The end

    def _leave(self) -> None:
        self._slot.set_state(State.STOPPING)
        if self._is_replaced:
            return
        if self._has_workers():
            # Somebody else's TERM, or a worker that cannot be killed: what they hold is theirs.
            log.event("leaving, though workers live", level="warning")
            return
        self._backoff.reset()  # the waits of a long outage are longer than the master waits for us
        for tries_left in reversed(range(_LAST_TRIES)):
            try:
                self._read_messages()
                self._recover()
                self._services.recovery.sweep_own()
                self._services.heartbeat.beat()
                if self._services.heartbeat.is_behind:
                    self._services.heartbeat.beat()
                self._fleet.leave(self._place.identity)
            except RedisError as error:
                level = "debug" if tries_left else "warning"
                log.event("could not leave cleanly", level=level, reason=str(error))
                wait_readable((self._inbox,), self._backoff.next_s() if tries_left else 0.0)
            else:
                return
