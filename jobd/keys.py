"""Every Redis key that jobd touches, with its type and lifetime; no other module spells one.

The keys without ``jobd:`` are Sidekiq's own. Source: lib/sidekiq/{client,api,launcher,scheduled}.rb
of Sidekiq 8.1.
"""

import re
from typing import Final, Literal, NamedTuple, Self

import msgspec

_ALWAYS: Final = (
    *("queues", "schedule", "retry", "dead", "paused", "processes", "process_cleanup"),
    *("profiles", "dear-leader", "stat:processed", "stat:failed"),
)
# The last line: batches and limiters of Sidekiq's paid editions, and its profiles, TOKEN-JID.
_KNOWN: Final = re.compile(
    r"(queue:|stat:(processed|failed):|[jh]\||\d{8}-marks$|deploylock-|it-|jobd:)"
    r"|.+:\d+:[0-9a-f]+(:work|:workers|-signals)?$"
    r"|b-|lmtr-|.+-[0-9a-f]{24}$",
    re.DOTALL,
)


class PrivateList(NamedTuple):
    """What the name of a private list says: whose it is, and from which queue its jobs came."""

    identity: str
    slot: int
    thread: int
    incarnation: int
    queue: str


class Keys(msgspec.Struct, frozen=True):
    """The names of all keys of one instance set.

    Args:
        prefix: put before every name. With a hash tag such as ``{jobs}:`` all keys of the set
            lie in one slot of a cluster.
    """

    prefix: str = ""

    # Sidekiq's data

    @property
    def queues(self) -> str:
        """Set of queue names; no expiry."""
        return f"{self.prefix}queues"

    def queue(self, name: str) -> str:
        """List of payloads, newest first; the last element runs next. No expiry."""
        return f"{self.prefix}queue:{name}"

    def queue_name(self, key: str) -> str:
        """The name of the queue whose list has this key."""
        return key.removeprefix(self.queue(""))

    @property
    def schedule(self) -> str:
        """Sorted set of payloads by due time in float seconds; no expiry."""
        return f"{self.prefix}schedule"

    @property
    def retry(self) -> str:
        """Sorted set of failed payloads by due time in float seconds; no expiry."""
        return f"{self.prefix}retry"

    @property
    def dead(self) -> str:
        """Sorted set of payloads by time of death in float seconds; trimmed by age and size."""
        return f"{self.prefix}dead"

    @property
    def paused(self) -> str:
        """Set of names of paused queues; no expiry."""
        return f"{self.prefix}paused"

    @property
    def processes(self) -> str:
        """Set of identities; an instance leaves on exit, or is swept when its hash is gone."""
        return f"{self.prefix}processes"

    def process(self, identity: str) -> str:
        """Hash with the heartbeat of an instance; 60 s. Its absence means death."""
        return f"{self.prefix}{identity}"

    def work(self, identity: str) -> str:
        """Hash of running jobs by thread id; 60 s."""
        return f"{self.prefix}{identity}:work"

    def workers(self, identity: str) -> str:
        """The same hash as ``work`` where Sidekiq before 7 looks for it; 60 s, with ``wire: 7``."""
        return f"{self.prefix}{identity}:workers"

    def signals(self, identity: str) -> str:
        """List of remote commands to an instance; 60 s."""
        return f"{self.prefix}{identity}-signals"

    @property
    def process_cleanup(self) -> str:
        """String that lets one process a minute sweep ``processes``; 60 s."""
        return f"{self.prefix}process_cleanup"

    def stat(self, name: str, day: str | None = None) -> str:
        """Counter ``processed`` or ``failed``, in all or of one UTC day (YYYY-MM-DD, 5 years)."""
        return f"{self.prefix}stat:{name}:{day}" if day else f"{self.prefix}stat:{name}"

    def rollup(self, period: str) -> str:
        """Hash of job metrics of a minute (8 h) or ten minutes (72 h), as metrics.py names them.

        Its fields are ``CLASS|p`` executions, ``CLASS|f`` failures, ``CLASS|ms`` milliseconds.
        """
        return f"{self.prefix}j|{period}"

    def histogram(self, name: str, minute: str) -> str:
        """String of 26 16-bit counters: durations of a class of jobs in a minute; 8 h."""
        return f"{self.prefix}h|{name}-{minute}"

    def metrics_by(self, what: Literal["queue", "host", "wait"]) -> Self:
        """Where the same rollups and histograms are kept by queue and by host, of jobd's jobs only.

        There the name of a queue or a host stands for that of a class. ``wait`` has how long jobs
        waited in a queue before they were claimed, as far as they were sampled.
        """
        return type(self)(f"{self.prefix}jobd:metrics:{what}:")

    def marks(self, day: str) -> str:
        """Hash of the deploys of a UTC day (YYYYMMDD): ISO 8601 minute to label; 90 days."""
        return f"{self.prefix}{day}-marks"

    def mark_lock(self, label: str) -> str:
        """String that lets a label be marked once a minute; 60 s."""
        return f"{self.prefix}deploylock-{label}"

    def iteration(self, jid: str) -> str:
        """Hash with how far an iterable job has come; 30 days from its last save, 1 h when done.

        ``ex`` runs, ``c`` cursor in JSON, ``rt`` seconds, ``cancelled`` epoch seconds; jobd's own
        are ``n`` items, ``forgiven`` deaths of workers, and ``done``, which holds ``created_at``.
        """
        return f"{self.prefix}it-{jid}"

    @property
    def leader(self) -> str:
        """String with the identity of the elected instance; only Sidekiq Enterprise writes it."""
        return f"{self.prefix}dear-leader"

    # jobd's own

    def result(self, jid: str) -> str:
        """String with what became of a job, as JSON; for the ``result_ttl`` of that job."""
        return f"{self.prefix}jobd:result:{jid}"

    def errors(self, jid: str) -> str:
        """List of a job's earlier errors, newest first, as JSON; the payload has only the last.

        10 of them; until a week after its next run is due, or as long as the dead set keeps it.
        """
        return f"{self.prefix}jobd:errors:{jid}"

    def task(self, jid: str) -> str:
        """String with the attempts of a task of Django whose result is kept, as JSON.

        30 days from its last change, and for its ``result_ttl`` when it has ended.
        """
        return f"{self.prefix}jobd:task:{jid}"

    @property
    def cancelled(self) -> str:
        """Sorted set of the jids of cancelled jobs by when they were; 30 days, 10,000 of them."""
        return f"{self.prefix}jobd:cancelled"

    @property
    def audit(self) -> str:
        """List of what operators did, newest first, as JSON objects; trimmed at each entry."""
        return f"{self.prefix}jobd:audit"

    @property
    def trash(self) -> str:
        """Sorted set of what operators purged, by epoch seconds; 25 h from the last purge.

        Its members are ``ID:queue:NAME``, ``ID:schedule``, ``ID:retry`` and ``ID:dead``.
        """
        return f"{self.prefix}jobd:trash"

    def purged(self, purge: str) -> str:
        """List or sorted set that was purged, under a new name; 25 h, a poller ends it after 24."""
        return f"{self.prefix}jobd:trash:{purge}"

    def pushed(self, client: str) -> str:
        """List of the numbers of a client's last pushes (``reliable_push``), 100 of them; a day."""
        return f"{self.prefix}jobd:pushed:{client}"

    @property
    def privates(self) -> str:
        """Set of names of private lists; a name leaves after two empty sweeps of a dead owner."""
        return f"{self.prefix}jobd:privates"

    def private(self, identity: str, processor: str, queue: str) -> str:
        """List of the jobs that one processor claimed from one queue; empty lists vanish.

        Args:
            identity: of the instance.
            processor: ``SLOT.THREAD.INCARNATION``.
            queue: the name of the queue that the jobs go back to.
        """
        return f"{self.prefix}jobd:private:{identity}:{processor}:{queue}"

    def instance(self, identity: str) -> str:
        """Hash with the state of an instance for jobctl and the dashboard; 60 s."""
        return f"{self.prefix}jobd:instance:{identity}"

    def asks(self, identity: str) -> str:
        """List of what operators want of jobs that an instance runs, as JSON objects; 60 s."""
        return f"{self.prefix}jobd:asks:{identity}"

    def look(self, identity: str, processor: str) -> str:
        """String with the stacks and last log lines of a running job, as JSON; 60 s."""
        return f"{self.prefix}jobd:look:{identity}:{processor}"

    def is_known(self, key: str) -> bool:
        """Whether a key is jobd's or Sidekiq's, as far as its name tells."""
        name = key.removeprefix(self.prefix)
        is_ours = key.startswith(self.prefix)
        return is_ours and (name in _ALWAYS or _KNOWN.match(name) is not None)

    def parse_private(self, key: str) -> PrivateList | None:
        """Take the name of a private list apart; None if it is not one of ours."""
        head = f"{self.prefix}jobd:private:"
        parts = key.removeprefix(head).split(":", 4)
        if not key.startswith(head) or len(parts) < 5:
            return None
        numbers = parts[3].split(".")
        if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
            return None
        slot, thread, incarnation = map(int, numbers)
        return PrivateList(":".join(parts[:3]), slot, thread, incarnation, parts[4])
