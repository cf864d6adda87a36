"""A server, a proxy before it, one rigged instance, and the audit that ends every test.

Many tests may use one stage: what they break, jobd has to mend, or the audit fails.
"""

import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.faults import times
from tests.faults.rigged import FOLDER
from tests.support import leash, resp, servers, wire
from tests.support.eventually import eventually
from tests.support.jobd_process import COMMAND, REPOSITORY, JobdProcess
from tests.support.proxy import Proxy
from tests.support.servers import Raw, Server

PATIENCE_S = 60.0
"""For what takes two seconds on an idle machine."""
RIGGED = (*COMMAND[:-1], "tests.faults.rigged")
MISCHIEF = Path(__file__).with_name("mischief.py")
ASYNC_MISCHIEF = Path(__file__).with_name("async_mischief.py")
_LUA = tuple((REPOSITORY / "jobd" / "lua").glob("*.lua"))
# Who is to lose a claim means either script of it.
SCRIPTS = {resp.sha1(path.read_text()): path.stem.removesuffix("_one") for path in _LUA}
"""By which the proxy knows the store's scripts."""
_MORE_MEMORY_MB = 16.0
MORE_DESCRIPTORS = {"poller": 3, "mold": 3, "worker": 24}
"""Than when it is ready: no worker has connected then for all that it may come to."""

SETTINGS: dict[str, Any] = {
    "concurrency": 2,
    "timeout": 5,
    "require": [str(MISCHIEF)],
    "redis": {"network_timeout": 2},
    "queues": ["default", "other"],
    "log": {"format": "logfmt"},
}


def descriptors(jobd: JobdProcess) -> dict[str, int]:
    """How many are open in the master, and at the most in a child of each kind."""
    most = {"master": psutil.Process(jobd.pid).num_fds()}
    for child in jobd.children():
        with contextlib.suppress(psutil.Error):  # it has just been replaced
            open_ones = psutil.Process(child.pid).num_fds()
            most[child.role] = max(most.get(child.role, 0), open_ones)
    return most


class Points:
    """Orders for the points of `rigged`, by files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def order(self, point: str, what: str = "SIGKILL") -> None:
        """Have the next process that comes to the point do so: a signal, ``exit``, ``raise``."""
        draft = self.folder / f".{point}"
        draft.write_text(what)
        draft.rename(self.folder / point)

    def taken(self, point: str) -> int | None:
        """The pid of the process that carried the order out, or None."""
        for path in self.folder.glob(f"{point}.*"):
            return int(path.suffix[1:])
        return None

    def wait_for(self, point: str, timeout: float = PATIENCE_S) -> int:
        """Wait until somebody has come to the point; returns the pid."""
        return eventually(lambda: self.taken(point), timeout, f"nobody came to {point!r}")

    def struck_at(self) -> list[float]:
        """When somebody has carried out an order, in epoch seconds."""
        taken = (path for path in self.folder.glob("*.*") if path.suffix[1:].isdigit())
        return [path.stat().st_ctime for path in taken]

    def clear(self) -> None:
        """Take back all orders."""
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)


def rigged(directory: Path, url: str, **options: Any) -> JobdProcess:
    """Make one instance, not started; options are those of `JobdProcess`, and folders to make."""
    for name in options.pop("make", ()):
        (directory / name).mkdir(parents=True)
    config = SETTINGS | options.pop("config", {})
    env = {FOLDER: str(directory / "points"), **options.pop("env", {})}
    return JobdProcess(directory, redis_url=url, config=config, command=RIGGED, env=env, **options)


class Stage:
    """Where the tests of one kind of server play.

    Args:
        directory: of the instance.
        server: the store; not closed by the stage.
        config: settings over `SETTINGS`.

    Attributes:
        jobd: the instance.
        proxy: between the instance and the server.
        raw: a client that goes round the proxy.
        points: orders for the instance.
    """

    def __init__(self, directory: Path, server: Server, **config: Any) -> None:
        self.server = server
        self.proxy = Proxy(server.port, scripts=SCRIPTS)
        self.proxy.start()
        self.raw: Raw = servers.connect(server.unix_url())
        for path in _LUA:  # or the first reply to be lost would be that a script is not known
            self.raw.script_load(path.read_text())
        self.jobd = rigged(directory, self.proxy.url(), config=config)
        self.points = Points(directory / "points")
        self.others: list[JobdProcess] = []
        self._holds = 0  # their names are not used again
        self._workers = int(config.get("concurrency", SETTINGS["concurrency"]))
        self.begin()
        self.jobd.start().wait_ready()
        eventually(self._is_whole, message=self.last_lines)
        self._descriptors = descriptors(self.jobd)
        self._memory_mb = self._master_mb()

    def begin(self) -> None:
        """Before a test: nothing is queued, nothing allowed, nothing ordered."""
        self.jids: list[str] = []
        self._most_runs: Counter[str] = Counter()
        self._without: set[str] = set()
        self._uncounted: set[str] = set()
        self.points.clear()
        self.proxy.heal()
        self._struck_at: list[float] = []

    def close(self) -> None:
        """End the instance; what it leaves behind is a failure."""
        try:
            self.jobd.close()
        finally:
            self.raw.close()
            self.proxy.stop()

    # Load

    def push(self, name: str, *args: Any, runs: int = 1, **fields: Any) -> str:
        """Queue a job, which may be started so often; returns its jid."""
        jid = wire.push(self.raw, name, *args, **fields)
        return self.expect(jid, runs=runs)

    def hold(self, *, runs: int = 1, **fields: Any) -> str:
        """Push a job and wait until it runs; it goes on until `release`."""
        self._holds += 1
        jid = self.push("Hold", f"hold-{self._holds}", runs=runs, **fields)
        self.wait_for("start", jid)
        return jid

    def release(self) -> None:
        """Let all jobs of `hold` go on, wherever they run."""
        for jobd in (self.jobd, *self.others):
            for number in range(1, self._holds + 1):
                jobd.release(f"hold-{number}")

    def push_many(self, name: str, count: int, *args: Any, runs: int = 1) -> list[str]:
        """Queue many at once."""
        payloads = [wire.a_payload(name, *args) for _ in range(count)]
        self.raw.sadd("queues", "default")
        self.raw.lpush("queue:default", *map(wire.encode, payloads))
        return [self.expect(payload["jid"], runs=runs) for payload in payloads]

    def expect(self, jid: str, *, runs: int = 1) -> str:
        """Have the audit look for a job that was pushed in another way."""
        self.jids.append(jid)
        self._most_runs[jid] = runs
        return jid

    def may_vanish(self, jid: str) -> None:
        """The job is discarded, by its own wish or by what the test did to the store."""
        self._without.add(jid)

    def runs_do_not_count(self, jid: str) -> None:
        """The job is where it is, though it has run to its end: its worker broke after that."""
        self._uncounted.add(jid)

    # What happened

    def runs(self, event: str = "done", jid: str | None = None) -> list[dict[str, Any]]:
        """What this test's jobs wrote down, in all instances; of one job, if given."""
        mine = set(self.jids) if jid is None else {jid}
        processes = [self.jobd, *self.others]
        return [run for each in processes for run in each.ran(event) if str(run["jid"]) in mine]

    def wait_for(self, event: str, *jids: str, timeout: float = PATIENCE_S) -> None:
        """Wait until each of these jobs, or of all, has begun (``start``) or ended (``done``)."""
        wanted = set(jids or self.jids)
        eventually(
            lambda: wanted <= {run["jid"] for run in self.runs(event)},
            timeout,
            lambda: f"{event} of {wanted}\n{self.last_lines()}",
        )

    def places(self) -> dict[str, list[str]]:
        """Where each jid is in the store."""
        found: dict[str, list[str]] = {}
        for key, payload in self._payloads():
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                found.setdefault(json.loads(payload)["jid"], []).append(key)
        return found

    def _payloads(self) -> Iterator[tuple[str, bytes]]:
        names = [key.decode() for key in self.raw.scan_iter() if self.raw.type(key) == b"list"]
        for name in names:
            if name.startswith(("queue:", "jobd:private:")):
                yield from ((name, job) for job in self.raw.lrange(name, 0, -1))
        for name in ("schedule", "retry", "dead"):
            if self.raw.type(name) == b"zset":
                yield from ((name, job) for job in self.raw.zrange(name, 0, -1))

    # The audit

    def audit(self) -> None:
        """Fail unless every job is in exactly one place, and nothing is left over.

        A job that ran to its end is nowhere; one that did not is in one place. Nobody ran more
        often than the test allows. No private list, process, descriptor or megabyte is left.
        """
        times.note([*self._struck_at, *self.points.struck_at()], self._all_runs())
        eventually(lambda: not wire.privates(self.raw), PATIENCE_S, self._whats_wrong)
        eventually(self._has_no_doubt, PATIENCE_S, self._whats_wrong)
        starts = Counter(run["jid"] for run in self.runs("start"))
        ends = Counter(run["jid"] for run in self.runs("done"))
        often = {jid: n for jid, n in (starts | ends).items() if n > self._most_runs[jid]}
        assert not often, f"started too often: {often}\n{self.last_lines()}"
        eventually(self._is_whole, PATIENCE_S, self._whats_wrong)
        eventually(self._owners_live, PATIENCE_S, self._whats_wrong)
        assert self._master_mb() - self._memory_mb < _MORE_MEMORY_MB

    def _all_runs(self) -> list[dict[str, Any]]:
        return self.runs("start") + self.runs("done")

    def _has_no_doubt(self) -> bool:
        return not self._misplaced()

    def _misplaced(self) -> dict[str, list[str]]:
        places = self.places()
        done = {run["jid"] for run in self.runs("done")} - self._uncounted | self._without
        return {
            jid: places.get(jid, [])
            for jid in self.jids
            if len(places.get(jid, [])) + (jid in done) != 1
        }

    def _is_whole(self) -> bool:
        """All children are there and idle, and nobody has many more descriptors than at first."""
        if self.jobd.returncode is not None:
            return True  # a test that ends the instance looks at that itself
        idle = [c for c in self.jobd.children("worker") if "[idle]" in c.title]
        strangers = self.jobd.children("other")
        is_flat = not hasattr(self, "_descriptors") or all(
            count <= self._descriptors.get(role, 0) + MORE_DESCRIPTORS.get(role, 0)
            for role, count in descriptors(self.jobd).items()
        )
        return len(idle) == self._workers and not strangers and is_flat

    def _owners_live(self) -> bool:
        """Every name in the register of private lists belongs to a living worker."""
        if self.jobd.returncode is not None and not self.others:
            return not self.raw.smembers("jobd:privates")
        living = self.raw.smembers("processes")
        names = self.raw.smembers("jobd:privates")
        return all(any(b":" + identity + b":" in name for identity in living) for name in names)

    def _master_mb(self) -> float:
        if self.jobd.returncode is not None:
            return 0.0
        return float(psutil.Process(self.jobd.pid).memory_info().rss) / 1e6

    def _whats_wrong(self) -> str:
        return (
            f"misplaced {self._misplaced()}, private lists {wire.privates(self.raw)}, "
            f"register {self.raw.smembers('jobd:privates')}, children {self.jobd.children()}, "
            f"descriptors {descriptors(self.jobd) if self.jobd.returncode is None else {}}"
            f"\n{self.last_lines()}"
        )

    def last_lines(self) -> str:
        """The end of the instance's log."""
        return "\n".join(line[:300] for line in self.jobd.log().splitlines()[-40:])

    # Faults

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> float:
        """Signal a process of the instance; returns the moment in epoch seconds."""
        os.kill(pid, number)
        self.is_struck()
        return time.time()

    def is_struck(self) -> None:
        """A fault came, or was over, just now: recovery is measured from here."""
        self._struck_at.append(time.time())

    def heal(self) -> None:
        """End what the proxy does; recovery is measured from here."""
        self.proxy.heal()
        self.is_struck()

    def is_gone(self, pid: int) -> bool:
        """Whether a process has ended."""
        return not leash.is_alive(pid)
