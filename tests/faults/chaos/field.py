"""Where a run takes place: a server, and some instances, each behind a proxy of its own."""

import contextlib
import io
import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.faults.chaos.load import QUEUES
from tests.faults.chaos.plan import Act
from tests.faults.stage import MORE_DESCRIPTORS, SCRIPTS, descriptors
from tests.support import leash, servers
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess
from tests.support.proxy import Proxy
from tests.support.sentinels import Watched
from tests.support.servers import Raw, Server

JOBS = Path(__file__).with_name("jobs.py")
_FLOOD = 2_000
# At one instant: a job that is just promoted, claimed or given back would be seen nowhere.
_COUNT = """
local found = {}
for _, name in ipairs({'retry', 'schedule'}) do
  found[#found + 1] = name
  found[#found + 1] = redis.call('ZCARD', name)
end
for _, names in ipairs({KEYS, redis.call('KEYS', 'jobd:private:*')}) do
  for _, name in ipairs(names) do
    found[#found + 1] = name
    found[#found + 1] = redis.call('LLEN', name)
  end
end
return found
"""
_PLACES = 20
_KILLS = frozenset(
    {"kill worker", "kill master", "kill instance", "term instance", "quit instance", "fail over"}
)
"""After these a job may have to run again: TERM and QUIT give back what does not end in time."""


@dataclass(frozen=True, slots=True)
class Blow:
    """What has been done, and to which processes: what may explain an interrupted job.

    Attributes:
        from_s: monotonic seconds; ``to_s`` when it was over.
        pids: that it hit; empty if it hit the server, and so everybody.
        kills: whether they died of it.
        spares: of how many jobs at the most, that had just ended, nobody could know then.
    """

    kind: str
    from_s: float
    to_s: float
    pids: frozenset[int]
    kills: bool
    spares: int = 1


class Field:
    """Sets everything up; `strike` injects a fault.

    Args:
        instances: how many.
        workers: of each.
        threads: of each worker of every second instance.
        fsync: ``appendfsync`` of the server.
        has_sentinels: two servers and three sentinels, and no proxies.
    """

    def __init__(
        self,
        *,
        instances: int,
        workers: int,
        threads: int,
        fsync: str,
        has_sentinels: bool = False,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="jobd-chaos-"))
        self.record = self.directory / "record"
        self.blows: list[Blow] = []
        self.unexpected: list[str] = []
        self.descriptors: list[dict[str, int]] = []
        self._pids: list[set[int]] = [set() for _ in range(instances)]
        self._workers, self._threads = workers, threads
        settings = ("--appendfsync", fsync)
        self.watched = Watched("valkey", password="", settings=settings) if has_sentinels else None
        if self.watched is not None:
            self.watched.start()
            self._server, self.proxies = self.watched.nodes[0], list[Proxy]()
        else:
            self._server = Server(aof=True, settings=settings)
            self._server.start()
            self.proxies = [Proxy(self._server.port, scripts=SCRIPTS) for _ in range(instances)]
        for proxy in self.proxies:
            proxy.start()
        self.jobds = [self._instance(number) for number in range(instances)]
        for jobd in self.jobds:
            jobd.start()
        for jobd in self.jobds:
            jobd.wait_ready(60)
        self._descriptors = [descriptors(jobd) for jobd in self.jobds]

    def _instance(self, number: int) -> JobdProcess:
        config: dict[str, Any] = {
            "concurrency": self._workers,
            "threads": self._threads if number % 2 else 1,
            "async_concurrency": _PLACES,
            "timeout": 4,
            "require": [str(JOBS)],
            "queues": [[name, weight] for name, weight in zip(QUEUES, (6, 3, 1), strict=True)],
            "redis": {"network_timeout": 2},
            "log": {"format": "logfmt", "level": "warning"},
        }
        return JobdProcess(
            self.directory / f"instance-{number + 1}",
            redis_url=self.watched.url if self.watched else self.proxies[number].url(),
            config=config,
            env={"CHAOS_RECORD": str(self.record)},
        )

    @property
    def server(self) -> Server:
        """The one that is written to."""
        return self.watched.primary() if self.watched else self._server

    def raw(self) -> Raw:
        """A client of the server, around the proxies."""
        return servers.connect(self.server.unix_url(), socket_timeout=10)

    # Faults

    def strike(self, act: Act) -> None:
        """Inject a fault, and take it back when its time is up."""
        self._look()
        name = act.kind.replace(" ", "_")
        strike: Callable[[Act], Sequence[int]] = getattr(self, f"_{name}")
        began = time.monotonic()
        pids = frozenset(strike(act))
        over, kills = time.monotonic(), act.kind in _KILLS
        self.blows.append(Blow(act.kind, began, over, pids, kills, self._threads + _PLACES))

    def _look(self) -> None:
        for number, jobd in enumerate(self.jobds):
            if jobd.returncode is not None:
                self.unexpected.append(f"instance {number + 1} left with {jobd.returncode}")
                jobd.start().wait_ready(60)
            self._pids[number] |= {jobd.pid, *(child.pid for child in jobd.children())}

    def _lasting(self, act: Act) -> None:
        # The plan's own pace: nothing else is struck meanwhile.
        time.sleep(act.lasts_s)

    def _worker(self, act: Act) -> int | None:
        ready = [c for c in self.jobds[act.instance].children("worker") if "boot" not in c.title]
        workers = sorted(child.pid for child in ready)
        return workers[int(act.draw * len(workers))] if workers else None

    def _family(self, act: Act) -> list[int]:
        jobd = self.jobds[act.instance]
        return [jobd.pid, *(child.pid for child in jobd.children())]

    def _all_of(self, act: Act) -> Sequence[int]:
        """Who lives and who has died before: the notes of both die with the instance."""
        self._pids[act.instance] |= set(self._family(act))
        return list(self._pids[act.instance])

    def _signal(self, pids: Sequence[int], number: signal.Signals) -> Sequence[int]:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def _kill_worker(self, act: Act) -> Sequence[int]:
        worker = self._worker(act)
        return self._signal([worker], signal.SIGKILL) if worker else []

    def _kill_poller(self, act: Act) -> Sequence[int]:
        pollers = [child.pid for child in self.jobds[act.instance].children("poller")]
        return self._signal(pollers, signal.SIGKILL)

    def _kill_master(self, act: Act) -> Sequence[int]:
        family = self._all_of(act)
        self.jobds[act.instance].kill9()
        self.jobds[act.instance].start().wait_ready(60)
        return family

    def _kill_instance(self, act: Act) -> Sequence[int]:
        family = self._all_of(act)
        self._signal(self._family(act), signal.SIGKILL)
        self.jobds[act.instance].wait()
        self.jobds[act.instance].start().wait_ready(60)
        return family

    def _stopped(self, act: Act, pids: Sequence[int]) -> Sequence[int]:
        self._signal(pids, signal.SIGSTOP)
        self._lasting(act)
        return self._signal(pids, signal.SIGCONT)

    def _stop_worker(self, act: Act) -> Sequence[int]:
        worker = self._worker(act)
        return self._stopped(act, [worker]) if worker else []

    def _stop_poller(self, act: Act) -> Sequence[int]:
        pollers = [child.pid for child in self.jobds[act.instance].children("poller")]
        return self._stopped(act, pollers)

    def _stop_master(self, act: Act) -> Sequence[int]:
        return self._stopped(act, [self.jobds[act.instance].pid])

    def _freeze_instance(self, act: Act) -> Sequence[int]:
        return self._stopped(act, self._family(act))

    def _term_worker(self, act: Act) -> Sequence[int]:
        worker = self._worker(act)
        return self._signal([worker], signal.SIGTERM) if worker else []

    def _leave(self, act: Act, number: signal.Signals) -> Sequence[int]:
        family, jobd = self._all_of(act), self.jobds[act.instance]
        jobd.signal(number)
        status = jobd.wait(30)
        if status != 0:
            self.unexpected.append(f"{act.kind}: exit status {status}")
        jobd.start().wait_ready(60)
        return family

    def _term_instance(self, act: Act) -> Sequence[int]:
        return self._leave(act, signal.SIGTERM)

    def _quit_instance(self, act: Act) -> Sequence[int]:
        return self._leave(act, signal.SIGQUIT)

    def _quiet_instance(self, act: Act) -> Sequence[int]:
        self.jobds[act.instance].signal(signal.SIGTSTP)
        self._lasting(act)
        self.jobds[act.instance].signal(signal.SIGCONT)
        return []

    def _flood_of_signals(self, act: Act) -> Sequence[int]:
        for _ in range(_FLOOD):
            self._signal([self.jobds[act.instance].pid], signal.SIGUSR1)
            self._signal([self.jobds[act.instance].pid], signal.SIGWINCH)
        return []

    def _restart_Redis(self, act: Act) -> Sequence[int]:
        self.server.stop()
        self._lasting(act)
        self.server.start()
        return []

    def _kill_Redis(self, act: Act) -> Sequence[int]:
        self.server.kill9()
        self._lasting(act)
        self.server.start()
        return []

    def _stop_Redis(self, act: Act) -> Sequence[int]:
        self._stopped(act, [self.server.pid])
        return []

    def _fill_Redis(self, act: Act) -> Sequence[int]:
        with contextlib.closing(self.raw()) as raw:
            raw.config_set("maxmemory", 1)
            self._lasting(act)
            raw.config_set("maxmemory", 0)
        return []

    def _flush_scripts(self, _: Act) -> Sequence[int]:
        with contextlib.closing(self.raw()) as raw:
            raw.script_flush()
        return []

    def _kill_connections(self, _: Act) -> Sequence[int]:
        with contextlib.closing(self.raw()) as raw:
            raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        return []

    def _cut_line(self, act: Act) -> Sequence[int]:
        self.proxies[act.instance].cut()
        return []

    def _reset_line(self, act: Act) -> Sequence[int]:
        self.proxies[act.instance].reset()
        return []

    def _healed(self, act: Act) -> Sequence[int]:
        self._lasting(act)
        self.proxies[act.instance].heal()
        return []

    def _refuse_line(self, act: Act) -> Sequence[int]:
        self.proxies[act.instance].refuse()
        return self._healed(act)

    def _black_hole(self, act: Act) -> Sequence[int]:
        self.proxies[act.instance].blackhole()
        return self._healed(act)

    def _slow_line(self, act: Act) -> Sequence[int]:
        self.proxies[act.instance].latency_s = 0.05
        return self._healed(act)

    def _one_byte_at_a_time(self, act: Act) -> Sequence[int]:
        self.proxies[act.instance].slice_bytes = 1
        return self._healed(act)

    def _lose_reply(self, act: Act) -> Sequence[int]:
        self.proxies[act.instance].drop_reply_once(act.command)
        return []

    def _lose_request(self, act: Act) -> Sequence[int]:
        self.proxies[act.instance].drop_request_once(act.command)
        return []

    def _fail_over(self, act: Act) -> Sequence[int]:
        assert self.watched is not None
        dead = self.watched.fail_over()
        self._lasting(act)
        self.watched.rejoin(dead)
        return list(set().union(*self._pids))  # the replica may have missed what any has done

    # The end

    def drain(self, timeout_s: float) -> dict[str, int]:
        """Heal all, and wait until nothing waits or runs; returns what was left, by key."""
        for proxy in self.proxies:
            proxy.heal()
        self._look()
        with contextlib.closing(self.raw()) as raw:
            with contextlib.suppress(AssertionError):
                eventually(lambda: not self._waiting(raw), timeout_s)
            return self._waiting(raw)

    def _waiting(self, raw: Raw) -> dict[str, int]:
        queues = [f"queue:{name}" for name in QUEUES]
        found = raw.eval(_COUNT, len(queues), *queues)
        counts = {
            name.decode(): int(count) for name, count in zip(found[::2], found[1::2], strict=True)
        }
        # Names of empty lists are forgotten after two sweeps of a dead owner's.
        # By pid: one that was killed counts as living for a minute more.
        living = [f":{jobd.pid}:".encode() for jobd in self.jobds]
        names = raw.smembers("jobd:privates")
        orphans = [n for n in names if not any(pid in n for pid in living)]
        counts["names of dead owners"] = len(orphans)
        return {name: count for name, count in counts.items() if count}

    def stop(self) -> list[str]:
        """TERM to all; returns what is wrong with how they left."""
        wrong: list[str] = []
        for number, jobd in enumerate(self.jobds):
            self._pids[number] |= {child.pid for child in jobd.children()}
            before, now = self._descriptors[number], descriptors(jobd)
            for role, count in now.items():
                if count > before.get(role, 0) + MORE_DESCRIPTORS.get(role, 4):
                    wrong.append(f"instance {number + 1}: {role}: {count} descriptors")
            self.descriptors.append(now)
            if (megabytes := psutil.Process(jobd.pid).memory_info().rss / 1e6) > 100:
                wrong.append(f"instance {number + 1}: its master has {megabytes:.0f} MB")
            if (status := jobd.stop(30)) != 0:
                wrong.append(f"instance {number + 1}: exit status {status}")
        alive = [pid for pid in set().union(*self._pids) if leash.is_alive(pid)]
        return [*wrong, *(f"process {pid} is left" for pid in alive if self._is_ours(pid))]

    def _is_ours(self, pid: int) -> bool:
        # Numbers of processes come again, in a run of twenty minutes too.
        with contextlib.suppress(psutil.Error):
            return psutil.Process(pid).environ().get("CHAOS_RECORD") == str(self.record)
        return False

    def close(self) -> None:
        """End everything; the record and the logs stay."""
        for jobd in self.jobds:
            with contextlib.suppress(AssertionError), contextlib.redirect_stdout(io.StringIO()):
                jobd.close()  # it prints its log, which stays in its folder too
        for proxy in self.proxies:
            proxy.stop()
        self.watched.close() if self.watched else self._server.close()
