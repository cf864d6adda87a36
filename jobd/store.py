"""Every change of a job's state in Redis; the list of methods is the state machine.

Each move is one atomic step on the server, so a job is always in exactly one place: its queue, a
private list, ``schedule``, ``retry`` or ``dead``. The scripts stand in ``lua/``, one a file, and
their headers document them. Every script that drains starts with a removal, after which the rest
may run on a server that is at its ``maxmemory``.

Payloads travel as bytes and are never parsed on the server: its JSON turns ``[]`` into ``{}`` and
rounds large integers.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec

from jobd.connection import Reply, ScriptMissing
from jobd.errors import RedisRejected
from jobd.keys import Keys
from jobd.link import Argument, Command, Packed

# importlib.resources takes 4 ms to import, and jobd is never run from an archive.
_SCRIPTS: Final = Path(__file__).with_name("lua")
PURGED_FOR_S: Final = 86_400


class Redis(Protocol):
    """What the store needs of a connection or a pool."""

    def call(self, *command: Argument) -> Reply:
        """Send one command, return its reply."""
        ...

    def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Send several commands at once, return their replies."""
        ...


_MOST_PAST_ERRORS: Final = 10


class PastError(NamedTuple):
    """The error that a job loses as it fails again, as JSON; kept so many seconds beside it."""

    jid: str
    entry: bytes
    life_s: int


_Past: TypeAlias = PastError | None


class Script:
    """One Lua file and the name that the server gives it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (_SCRIPTS / f"{name}.lua").read_bytes()
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()

    def run(self, redis: Redis, *arguments: Argument) -> Reply:
        """Run it with the number of keys, the keys and the arguments; the server learns it once."""
        try:
            return redis.call("EVALSHA", self.sha, *arguments)
        except ScriptMissing:
            return redis.call("EVAL", self.text, *arguments)


class Call:
    """A script and the arguments that it begins with each time.

    Args:
        script: to run.
        constant: the number of its keys, the keys, and more arguments.
    """

    def __init__(self, script: Script, *constant: Argument) -> None:
        self._script = script
        self._constant = constant
        self._head = Packed("EVALSHA", script.sha, *constant)

    def run(self, redis: Redis, *arguments: Argument) -> Reply:
        """Run it with these further arguments."""
        try:
            return redis.call(self._head, *arguments)
        except ScriptMissing:
            return redis.call("EVAL", self._script.text, *self._constant, *arguments)


_CLAIM = Script("claim")
_CLAIM_ONE = Script("claim_one")
_TELL_ALL: Final = [-1]
_CONFIRM = Script("confirm")
_GIVE_BACK = Script("give_back")
_HAND_OVER = Script("hand_over")
_RETRY = Script("retry")
_BURY = Script("bury")
_DUE = Script("due")
_PROMOTE = Script("promote")
_BURY_DUE = Script("bury_due")
_FORGET = Script("forget")


class Holder(msgspec.Struct, frozen=True):
    """A processor as the store knows it: its queues and, in step, its private lists."""

    queues: tuple[str, ...]
    privates: tuple[str, ...]
    claim: Call
    claim_one: Call

    @classmethod
    def of(cls, keys: Keys, identity: str, processor: str, queues: Sequence[str]) -> "Holder":
        """Build the holder of a processor ``SLOT.THREAD.INCARNATION`` of an instance."""
        privates = tuple(keys.private(identity, processor, queue) for queue in queues)
        lists = (*(keys.queue(queue) for queue in queues), keys.paused, *privates)
        constant: Command = (1 + len(lists), keys.privates, *lists, *queues)
        return cls(tuple(queues), privates, Call(_CLAIM, *constant), Call(_CLAIM_ONE, *constant))


class Held(NamedTuple):
    """A claimed job: which of the holder's queues it came from, and its bytes."""

    queue: int
    raw: bytes


class Claimed(NamedTuple):
    """What a claim brought.

    Attributes:
        lost: how many of the acknowledged jobs were not held any more: somebody recovered them.
        jobs: by queue, as an index of the holder's; a queue may be there twice.
        paused: indexes of queues that were passed over: paused ones, and those that refused.
        refused: why a queue refused (its key is no list), or an empty string.
    """

    lost: int
    jobs: Sequence[tuple[int, Sequence[bytes]]]
    paused: frozenset[int]
    refused: str = ""


class Due(NamedTuple):
    """What is due in a sorted set.

    Attributes:
        now_s: the server's clock, epoch seconds.
        next_s: the earliest score of the set, due or not; None if the set is empty.
    """

    now_s: float
    next_s: float | None
    raws: tuple[bytes, ...]


class Promotion(NamedTuple):
    """A due job: as it stands in the set, and where and how it goes on."""

    held: bytes
    queue: str
    raw: bytes


class Store:
    """The states of jobs, and the moves between them.

    Args:
        redis: a connection, or a pool that threads share.
        keys: the names of the keys.

    Every method raises ``RedisUnavailable`` when the server could not be reached or its reply was
    lost, ``RedisFull`` or ``RedisRejected`` when it refused.
    """

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self.keys = keys

    @property
    def redis(self) -> Redis:
        """What it was given; for those who only read."""
        return self._redis

    # Of clients

    def push(self, batches: Mapping[str, Sequence[bytes]]) -> None:
        """Queue payloads; the first of each sequence runs first. Not idempotent: never resent."""
        commands: list[Command] = [("SADD", self.keys.queues, *batches)]
        commands += [("LPUSH", self.keys.queue(name), *raws) for name, raws in batches.items()]
        self._redis.pipeline(commands)

    def schedule(self, entries: Iterable[tuple[float, bytes]]) -> None:
        """Keep payloads until their time, in epoch seconds."""
        pairs = [part for at_s, raw in entries for part in (_score(at_s), raw)]
        self._redis.call("ZADD", self.keys.schedule, *pairs)

    # Of workers who claim

    def claim(
        self,
        holder: Holder,
        *,
        done: Sequence[Sequence[bytes]],
        order: Sequence[int],
        limit: int = 1,
        shares: Sequence[int] = (),
        in_order: bool = False,
    ) -> Claimed:
        """Acknowledge what is done and take up to ``limit`` jobs. May be sent again after an error.

        Args:
            holder: whose private lists to use.
            done: finished jobs of each queue of the holder, acknowledged by value; or nothing.
            order: indexes of the holder's queues in the order in which to look.
            limit: how many jobs to take at the most; more are returned if more are held already.
            shares: of each queue of the holder, how many jobs to ask of it first; without them,
                and for what they leave over, the first in the order that has jobs gives all.
            in_order: whether the finished jobs of each queue ended in the order in which they were
                claimed: then its first and last may stand for all that lie between them.
        """
        if limit > 1 or not order or sum(map(len, done)) > 1:
            wishes = [part for queue in order for part in (queue, shares[queue] if shares else 0)]
            return self._claim_many(holder, limit, done, wishes, in_order=in_order)
        finished: Sequence[Argument] = ("", "")
        for queue, raws in enumerate(done):
            if raws:
                finished = (queue, raws[0])
        lost, *taken = holder.claim_one.run(self._redis, *finished, *order)
        if not taken:
            wishes = [part for queue in order for part in (queue, 0)]
            return self._claim_many(holder, 1, (), wishes)._replace(lost=lost)
        position, raw, paused = taken
        return Claimed(lost, () if raw is None else ((position, (raw,)),), frozenset(paused))

    def _claim_many(
        self,
        holder: Holder,
        limit: int,
        done: Sequence[Sequence[bytes]],
        wishes: Sequence[int],
        *,
        in_order: bool = False,
    ) -> Claimed:
        reply: Reply = _TELL_ALL
        if in_order:
            ended = _ended(done, ends_only=True)
            reply = holder.claim.run(self._redis, limit, *ended, *wishes)
        if reply == _TELL_ALL:
            ended = _ended(done, ends_only=False)
            reply = holder.claim.run(self._redis, limit, *ended, *wishes)
        lost, flat, paused, refused = reply
        jobs: list[tuple[int, list[bytes]]] = []
        at = 0
        while at < len(flat):
            end = at + 2 + flat[at + 1]
            jobs.append((flat[at], flat[at + 2 : end]))
            at = end
        return Claimed(lost, jobs, frozenset(paused), text(refused) if refused else "")

    def blocking_claim(
        self, holder: Holder, queue: int, timeout_s: float
    ) -> tuple[Command, Command]:
        """The commands that wait for a job of one queue.

        Their replies are the job, or None, and whether the queue is paused, by then.
        """
        name = holder.queues[queue]
        move = ("BLMOVE", self.keys.queue(name), holder.privates[queue], "RIGHT", "LEFT", timeout_s)
        return move, ("SISMEMBER", self.keys.paused, name)

    def noting(self, holder: Holder, queue: int) -> Command:
        """The command that makes what lies in a private list recoverable; any claim does so too."""
        return ("SADD", self.keys.privates, holder.privates[queue])

    def confirm(self, holder: Holder, held: Held) -> bool:
        """Whether a job that came by a blocking claim a while ago may still run.

        Returns:
            False if it must not: its queue is paused, or somebody has recovered it.
        """
        private, name = holder.privates[held.queue], holder.queues[held.queue]
        keys = (self.keys.privates, self.keys.paused, private)
        return bool(self._run(_CONFIRM, len(keys), *keys, name, held.raw))

    def hand_over(self, private: str, other: str, raw: bytes) -> bool:
        """A claimed job goes on in another private list, which must not have held the same before.

        May be sent again after an error.

        Returns:
            False if neither list holds it: somebody has recovered it.
        """
        return bool(self._run(_HAND_OVER, 3, private, other, self.keys.privates, raw))

    def at_most_once_claim(self, queues: Sequence[str], timeout_s: float) -> Command:
        """The command that takes a job off its queue and keeps it nowhere (``fetch: basic``).

        Its reply is the queue's key and the job, or None.
        """
        return ("BRPOP", *(self.keys.queue(name) for name in queues), timeout_s)

    def unblock(self, client_ids: Sequence[int]) -> None:
        """Have blocking claims of other connections answered now; those not blocked stay so."""
        self._redis.pipeline([("CLIENT", "UNBLOCK", number) for number in client_ids])

    def paused_queues(self) -> frozenset[str]:
        """Names of the queues that nobody may take jobs from."""
        return frozenset(map(text, self._redis.call("SMEMBERS", self.keys.paused)))

    # Of workers who settle; each tells whether the job was still held

    def acknowledge(self, private: str, *raws: bytes) -> int:
        """The jobs are done; returns how many were held."""
        return sum(self._redis.pipeline([("LREM", private, 1, raw) for raw in raws]))

    def acknowledge_held(self, held: Sequence[tuple[str, bytes]]) -> int:
        """Jobs of several private lists are done; returns how many were held."""
        return sum(self._redis.pipeline([("LREM", private, 1, raw) for private, raw in held]))

    def retry(
        self, private: str | None, raw: bytes, again: bytes, at_s: float, past: _Past = None
    ) -> bool:
        """The job failed and runs again at that time, with the payload ``again``.

        Args:
            private: the list that holds it; None if it is held nowhere (``fetch: basic``).
            raw: as it was claimed.
            again: as it goes on.
            at_s: epoch seconds.
            past: the error that ``raw`` carried, if it had failed before.
        """
        return self._wait_in(self.keys.retry, private, raw, again, at_s, past)

    def put_off(self, private: str | None, raw: bytes, at_s: float) -> bool:
        """The job has not failed and goes on at that time; it waits in ``schedule``."""
        return self._wait_in(self.keys.schedule, private, raw, raw, at_s, None)

    def _wait_in(
        self, zset: str, private: str | None, raw: bytes, again: bytes, at_s: float, past: _Past
    ) -> bool:
        keys, kept = self._keeping(past, private or self._nowhere, zset)
        how = (raw, _score(at_s), again, _flag(private))
        return bool(self._run(_RETRY, len(keys), *keys, *how, *kept))

    def _keeping(self, past: _Past, *keys: str | bytes) -> tuple[Command, Command]:
        """The keys and the last arguments of a script that keeps an error, if there is one."""
        if past is None:
            return keys, ()
        return (*keys, self.keys.errors(past.jid)), (past.entry, past.life_s, _MOST_PAST_ERRORS)

    def bury(
        self,
        private: str | bytes | None,
        raw: bytes,
        grave: bytes,
        *,
        now_s: float,
        max_jobs: int,
        timeout_s: float,
        past: _Past = None,
    ) -> bool:
        """The job died; it goes to the dead set, which keeps ``max_jobs`` for ``timeout_s``."""
        keys, kept = self._keeping(past, private or self._nowhere, self.keys.dead)
        scores = (_score(now_s), grave, _flag(private), _score(now_s - timeout_s), max_jobs)
        return bool(self._run(_BURY, len(keys), *keys, raw, *scores, *kept))

    def give_back(self, private: str, queue: str, jobs: Sequence[tuple[bytes, bytes]]) -> int:
        """Claimed jobs go back to the end of their queue that runs next; the last one runs first.

        Args:
            private: the list that holds them.
            queue: the name of their queue.
            jobs: each as it is held and as it goes back.

        Returns:
            How many were held.
        """
        pairs = [part for pair in jobs for part in pair]
        keys = (private, self.keys.queue(queue), self.keys.queues)
        return int(self._run(_GIVE_BACK, 3, *keys, queue, _flag(private), *pairs))

    def requeue(self, queue: str, raw: bytes) -> None:
        """A job that is held nowhere (``fetch: basic``) goes back to run next."""
        # By the script, since a full server refuses an RPUSH of its own.
        keys = (self._nowhere, self.keys.queue(queue), self.keys.queues)
        self._run(_GIVE_BACK, 3, *keys, queue, _flag(None), raw, raw)

    # Of pollers who promote

    def has_any(self, *zsets: str) -> bool:
        """Whether one of these sets has a member."""
        return bool(self._redis.call("EXISTS", *zsets))

    def due(self, zset: str, *, limit: int, offset: int = 0) -> Due:
        """What is due in a sorted set by the server's clock, the first ``offset`` passed over."""
        now, first, raws = self._run(_DUE, 1, zset, limit, offset)
        return Due(float(now), float(first) if first else None, tuple(raws))

    def promote(self, zset: str, promotions: Sequence[Promotion]) -> int:
        """Queue those that are still in the set; returns how many were.

        Raises:
            RedisRejected: the key of a queue is not a list. Its jobs stay in the set, the others
                are queued.
        """
        queues = [self.keys.queue(promotion.queue) for promotion in promotions]
        moves = [part for p in promotions for part in (p.held, p.queue, p.raw)]
        count = 2 + len(queues)
        moved, refused = self._run(_PROMOTE, count, zset, self.keys.queues, *queues, *moves)
        if refused:
            raise RedisRejected(f"not all due jobs could be queued: {text(refused)}")
        return int(moved)

    def bury_due(self, zset: str, raw: bytes, now_s: float) -> bool:
        """A due member is no job: to the dead set with it. False if somebody else did so."""
        return bool(self._run(_BURY_DUE, 2, zset, self.keys.dead, raw, _score(now_s)))

    # Of pollers who recover

    def private_lists(self) -> list[str]:
        """The names of all private lists that may hold something."""
        return [text(name) for name in self._redis.call("SMEMBERS", self.keys.privates)]

    def held(self, private: str, limit: int) -> list[bytes]:
        """Jobs of a private list, newest claim first, ``limit`` of them at the most."""
        return list(self._redis.call("LRANGE", private, 0, limit - 1))

    def filled(self, privates: Sequence[str]) -> list[str]:
        """Those of these private lists that hold something, in their order; one command if none."""
        if not privates or not self._redis.call("EXISTS", *privates):
            return []
        found = self._redis.pipeline([("EXISTS", private) for private in privates])
        return [name for name, is_there in zip(privates, found, strict=True) if is_there]

    def forget(self, *privates: str) -> int:
        """Strike private lists of dead owners from the register; returns how many were empty."""
        pages = [privates[at : at + 1_000] for at in range(0, len(privates), 1_000)]
        return sum(
            int(self._run(_FORGET, 1 + len(page), self.keys.privates, *page)) for page in pages
        )

    # Of pollers who clear up

    def empty_trash(self, now_s: float) -> int:
        """Forget for good what was purged more than a day ago.

        Before it expires: a server frees what expires at once, and others wait for it meanwhile.

        Returns:
            How many purges there were.
        """
        latest = now_s - PURGED_FOR_S
        due: list[bytes] = self._redis.call(
            "ZRANGEBYSCORE", self.keys.trash, "-inf", latest, "LIMIT", 0, 10
        )
        for member in due:
            key = self.keys.purged(text(member).partition(":")[0])
            self._redis.pipeline([("UNLINK", key), ("ZREM", self.keys.trash, member)])
        return len(due)

    @property
    def _nowhere(self) -> str:
        # A key that never exists: the scripts start with a removal even where nothing is held.
        return self.keys.private("nobody", "0.0.0", "none")

    def _run(self, script: Script, *arguments: Argument) -> Reply:
        return script.run(self._redis, *arguments)


def _score(seconds: float) -> str:
    """The shortest decimal of the double, as Sidekiq writes scores."""
    return repr(float(seconds)).removesuffix(".0")


def text(raw: bytes) -> str:
    """Of a name; one that some other client wrote and that is no UTF-8 names nothing of ours."""
    return str(raw, "utf-8", "replace")


def _ended(done: Sequence[Sequence[bytes]], *, ends_only: bool) -> list[Argument]:
    groups: list[Argument] = []
    count = 0
    for queue, raws in enumerate(done):
        if raws:
            count += 1
            groups += (queue, len(raws), *((raws[0], raws[-1]) if ends_only else raws))
    return [count, "ends" if ends_only else "all", *groups]


def _flag(private: str | bytes | None) -> str:
    return "0" if private is None else "1"
