"""The part of the wiring that puts a poller together.

The poller itself is in ``poller``, what answers probes in ``health``.
"""

import os
import random
import socket
from collections.abc import Callable
from typing import Final

from jobd.cancelling import Cancelled
from jobd.clock import Clock
from jobd.config import Config
from jobd.connection import Backoff, Connection
from jobd.fleet import Fleet
from jobd.health.answers import Answers
from jobd.health.figures import Figures, Seen
from jobd.health.listener import Listener
from jobd.keys import Keys
from jobd.last_lines import LastLines
from jobd.poller.backlog import BacklogWatch
from jobd.poller.cancels import Cancels
from jobd.poller.heartbeat import Heartbeat
from jobd.poller.instance import Instance
from jobd.poller.looks import Looks
from jobd.poller.poller import Place, Poller, Services
from jobd.poller.promotion import Promoter
from jobd.poller.proof import HostWitness
from jobd.poller.recovery import Recovery
from jobd.scoreboard import Scoreboard
from jobd.server_check import Inspection
from jobd.store import Store
from jobd.supervisor.child import Seat
from jobd.tallies import Tallies

_ORPHAN_MARGIN_S: Final = 6.0
_TRIES_S: Final = 0.6
"""The longest: the workers look whether it has found Redis back, so a job runs within a second."""


class Polling:
    """Makes the poller of one configuration.

    Args:
        config: says what it is like.
        instance: whose poller it is.
        scoreboard: what the workers do.
        tallies: what their jobs have cost.
        lines: what they have written to the log last.
        clock: its own.
        listener: where probes come in, if any are answered.
    """

    def __init__(
        self,
        config: Config,
        instance: Instance,
        *,
        scoreboard: Scoreboard,
        tallies: Tallies,
        lines: LastLines,
        clock: Clock,
        listener: socket.socket | None,
    ) -> None:
        self._config = config
        self._instance = instance
        self._scoreboard = scoreboard
        self._tallies = tallies
        self._lines = lines
        self._clock = clock
        self._listener = listener

    def poller(self, seat: Seat) -> tuple[Poller, Callable[[], None]]:
        """A poller that is fit to run, and what looks at the server before it does."""
        config, rng = self._config, random.Random()  # noqa: S311 - jitter
        slot = self._scoreboard.writer(seat.slot)
        slot.open(os.getpid(), seat.incarnation)
        connection = Connection(config.redis, name="jobd-poller")
        keys = Keys()
        store, fleet = Store(connection, keys), Fleet(connection, keys)
        inspect = Inspection(connection, config.redis)
        heartbeat = Heartbeat(
            fleet,
            self._instance,
            config,
            scoreboard=self._scoreboard,
            slot=slot,
            tallies=self._tallies,
            clock=self._clock,
        )
        services = Services(
            Promoter(store, wire=config.wire, rng=rng),
            heartbeat,
            self._recovery(seat, store, fleet),
            Cancels(Cancelled(store), self._scoreboard, self._clock),
            Looks(store, seat.identity, self._scoreboard, self._lines, self._clock),
            store.empty_trash,
            inspect,
            self._serve_health(store, heartbeat),
        )
        poller = Poller(
            fleet,
            Place(seat.identity, slot, config.timeout + _ORPHAN_MARGIN_S),
            master=seat,
            services=services,
            scoreboard=self._scoreboard,
            clock=self._clock,
            backoff=Backoff(rng, _TRIES_S),
        )
        return poller, inspect

    def _recovery(self, seat: Seat, store: Store, fleet: Fleet) -> Recovery:
        config = self._config
        return Recovery(
            store,
            seat.identity,
            sorted({queue.name for capsule in config.capsules for queue in capsule.queues}),
            scoreboard=self._scoreboard,
            witness=HostWitness(fleet),
            clock=self._clock,
            keeps_running_jobs=config.fetch == "reliable",
        )

    def _serve_health(self, store: Store, heartbeat: Heartbeat) -> Callable[[], float] | None:
        """Answer probes, if that was wanted; the duty of the poller that goes with it."""
        if self._listener is None:
            return None
        watch = BacklogWatch(store)
        figures = Figures(
            self._scoreboard,
            self._tallies,
            Seen(backlog=lambda: watch.latest, round_trip_us=lambda: heartbeat.round_trip_us),
            workers=self._config.worker_count,
            labels={"identity": self._instance.identity, "tag": self._config.tag},
            clock=self._clock,
        )
        answers = Answers(self._scoreboard, figures, self._clock)
        tick, clock = figures.note_restarts, self._clock
        Listener(self._listener, answers.to, tick=tick, clock=clock).start()
        return watch.look
