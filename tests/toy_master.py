"""A master with toy children: ``python -m tests.toy_master '{"workers": 2}'``.

The children obey signals as jobd's own do, and tell what happens to them as log lines. They reach
no Redis. What a behaviour does differently is in `BEHAVIOURS`.
"""

import contextlib
import errno
import gc
import json
import os
import random
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from jobd import log, signals
from jobd.clock import SystemClock
from jobd.errors import ConfigError
from jobd.scoreboard import Scoreboard, State
from jobd.supervisor.child import Child
from jobd.supervisor.master import Master
from jobd.supervisor.messages import Died
from jobd.supervisor.plan import Generation, Plan, Renewed, Wear
from tests.support.running import show_job

OPTIONS: dict[str, object] = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
CLOCK = SystemClock()
RELOADED: Final = ("count", "generation", "state", "text")
BOARD = Scoreboard(CLOCK, 16)


class ToyWorker:
    """Runs a job that never ends, if ``busy``; else nothing."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.writer = BOARD.writer(child.slot)
        self.inbox = signals.SignalInbox(signals.HANDLED - {signal.SIGCHLD})
        self.is_stopping = False
        self.is_busy = False

    def run(self) -> int:
        self.writer.open(os.getpid(), self.child.incarnation)
        self.inbox.open()
        if OPTIONS.get("busy") is True or OPTIONS.get("busy") == self.child.slot:
            self.start_job()
        # Before the master knows: the order of two processes' lines is that of the moments.
        log.event("toy serves", slot=self.child.slot, incarnation=self.child.incarnation)
        self.child.ready()
        log.event(
            "toy ready",
            slot=self.child.slot,
            incarnation=self.child.incarnation,
            collects=gc.isenabled(),
            frozen=gc.get_freeze_count(),
        )
        selector = selectors.DefaultSelector()
        selector.register(self.inbox, selectors.EVENT_READ)
        with contextlib.suppress(OSError):
            selector.register(self.child, selectors.EVENT_READ)
        while not (self.is_stopping and not self.is_busy):
            selector.select(1)
            if self.child.is_cut():
                log.event("toy orphaned", slot=self.child.slot)
                return 0
            self.obey()
            self.listen()
        log.event("toy leaves", slot=self.child.slot)
        return 0

    def start_job(self) -> None:
        self.is_busy = True
        self.writer.finish(b"a job that is done", failed=False)
        self.writer.hold(b"a job that runs", CLOCK.now_ms() / 1000)
        show_job(self.writer, "default", "ToyJob", "toy-jid", CLOCK.now_ms() / 1000)

    def obey(self) -> None:
        for number in sorted(self.inbox.take()):
            log.event("toy got", slot=self.child.slot, signal=signal.Signals(number).name)
            if number in {signal.SIGTERM, signal.SIGQUIT}:
                self.is_stopping = True
            if number in {signal.SIGQUIT, signal.SIGUSR2} and not OPTIONS.get("stubborn"):
                self.is_busy = False
                self.writer.give_up()
            if number == signal.SIGTSTP:
                self.writer.set_state(State.QUIET)

    def listen(self) -> None:
        self.child.receive()


class ToyPoller(ToyWorker):
    """Tells what it is told, and answers unless it is ``deaf``. It beats once a second."""

    def listen(self) -> None:
        self.writer.beat()
        for news in self.child.receive():
            if news["type"] == "died":
                self.answer(news)
            elif news["type"] == "reloaded":
                log.event("toy reloaded", **{name: news[name] for name in RELOADED})
            elif news["type"] == "leave":
                self.is_stopping = True

    def answer(self, died: Died) -> None:
        if not OPTIONS.get("deaf"):
            answer = {key: died[key] for key in ("slot", "incarnation", "thread")}
            self.child.send({"type": "recovered", **answer})
        # Not before the answer: who reads it may kill this process at once.
        log.event(
            "toy told",
            slot=died["slot"],
            incarnation=died["incarnation"],
            status=died["status"],
            reason=died["reason"],
            is_charged=bool(died["running"]),
            finished=len(died["finished"]),
        )

    def start_job(self) -> None:
        pass

    def run(self) -> int:
        if OPTIONS.get("remote"):
            self.child.send({"type": "remote", "signal": OPTIONS["remote"]})
        if OPTIONS.get("poller_never_ready"):
            signal.pause()
        return super().run()


def plain(child: Child) -> int:
    return ToyWorker(child).run()


def crash_at_boot(_child: Child) -> int:
    os._exit(3)


def crash_once_ready(child: Child) -> int:
    child.ready()
    os._exit(78)


def fail_for_good(_child: Child) -> int:
    raise ConfigError(["etc/jobd.yml:3: require: no module named toys"])


def fail_for_now(child: Child) -> int:
    if Path("repaired").exists():
        return plain(child)
    raise ConnectionError("the toy database is down")


def never_ready(_child: Child) -> int:
    while True:
        signal.pause()


def slow_to_boot(child: Child) -> int:
    BOARD.writer(child.slot).open(os.getpid(), child.incarnation)
    log.event("toy boots", slot=child.slot)
    while not Path("booted").exists():
        select.select((), (), (), 0.01)
    return plain(child)


def close_everything(child: Child) -> int:
    child.ready()
    os.closerange(3, 256)
    log.event("toy closed its fds", slot=child.slot)
    while not child.is_cut():
        select.select((), (), (), 0.01)
    log.event("toy orphaned", slot=child.slot)
    return 0


def hang_silently(child: Child) -> int:
    """Once it is ready nothing more is heard of it, but a job is not the reason."""
    BOARD.writer(child.slot).open(os.getpid(), child.incarnation)
    child.ready()
    log.event("toy hangs", slot=child.slot, incarnation=child.incarnation)
    while True:
        signal.pause()


def spawn_and_hang(child: Child) -> int:
    """Its job starts a process and nothing ends it."""
    toy = ToyWorker(child)
    subprocess.Popen(["sleep", "1000"])
    return toy.run()


def only_the_first(child: Child) -> int:
    with contextlib.suppress(FileExistsError):
        os.close(os.open("first", os.O_CREAT | os.O_EXCL))
        return plain(child)
    os._exit(4)


def exit_unasked(child: Child) -> int:
    child.ready()
    sys.exit(0)


BEHAVIOURS: dict[str, Callable[[Child], int]] = {
    function.__name__: function
    for function in (
        plain,
        crash_at_boot,
        crash_once_ready,
        fail_for_good,
        fail_for_now,
        never_ready,
        slow_to_boot,
        close_everything,
        hang_silently,
        spawn_and_hang,
        exit_unasked,
        only_the_first,
    )
}


IMPORTED: list[list[object]] = []


def import_app(_child: Child) -> int:
    IMPORTED.extend([] for _ in range(1000))
    log.event("toy app imported", pid=os.getpid())
    return 0


def import_and_crash(_child: Child) -> int:
    import_app(_child)
    os._exit(3)


def start_a_thread(_child: Child) -> int:
    threading.Thread(target=threading.Event().wait, name="toy flusher", daemon=True).start()
    return 0


KEPT: list[socket.socket] = []


def open_a_connection(_child: Child) -> int:
    server = socket.create_server(("127.0.0.1", 0))
    KEPT.extend([server, socket.create_connection(server.getsockname())])
    return 0


def fail_to_import(child: Child) -> int:
    child.boot_failed("config", "etc/jobd.yml:3: require: no module named toys")
    return 78


def import_slowly(_child: Child) -> int:
    log.event("toy app is imported")
    while not Path("imported").exists():
        select.select((), (), (), 0.01)
    return 0


PRELOADS: dict[str, Callable[[Child], int]] = {
    function.__name__: function
    for function in (
        import_app,
        import_and_crash,
        start_a_thread,
        open_a_connection,
        fail_to_import,
        import_slowly,
    )
}


class ToyStore:
    """A store that is a ``sleep``."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.breaks = 0

    @property
    def pid(self) -> int | None:
        if self._process and self.breaks:
            self.breaks -= 1
            raise RuntimeError("the toy store is broken")
        return self._process.pid if self._process else None

    def start(self) -> None:
        self._process = subprocess.Popen(["sleep", "1001"], start_new_session=True)
        log.event("toy store started", child=self._process.pid)
        self.breaks = int(str(OPTIONS.get("store_breaks", 0)))

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()
        log.event("toy store stopped")

    def mark_dead(self, status: int) -> None:
        assert self._process is not None
        self._process.returncode = signals.waitstatus_to_code(status)
        self._process = None


def fork_or_fail(limit: int) -> Callable[[], int]:
    """An ``os.fork`` that works so many times, and then as on a machine that is full."""
    real, done = os.fork, [0]  # noqa: TID251 - plays a machine that is full

    def fork() -> int:
        done[0] += 1
        if done[0] > limit:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return real()

    return fork


def reopen_logs() -> None:
    log.event("toy reopens logs")
    if OPTIONS.get("reopen_fails"):
        raise RuntimeError("the toy disk is gone")


def worn_after() -> Wear:
    jobs, age, size = (OPTIONS.get(name) for name in ("max_jobs", "max_age_s", "max_memory_bytes"))
    return Wear(
        max_jobs=int(str(jobs)) if jobs else None,
        max_age_s=float(str(age)) if age else None,
        max_memory_bytes=int(str(size)) if size else None,
    )


def first_generation() -> Generation:
    return Generation(
        groups={"toys": int(str(OPTIONS.get("workers", 2)))},
        run_worker=BEHAVIOURS[str(OPTIONS.get("behaviour", "plain"))],
        run_poller=run_poller,
        preload=PRELOADS[str(OPTIONS["preload"])] if OPTIONS.get("preload") else None,
        timeout_s=float(str(OPTIONS.get("timeout_s", 25))),
        boot_timeout_s=float(str(OPTIONS.get("boot_timeout_s", 60))),
        wear=worn_after(),
        hung_after_s=float(str(OPTIONS["hung_after_s"])) if "hung_after_s" in OPTIONS else None,
    )


def run_poller(child: Child) -> int:
    return ToyPoller(child).run()


class ToyRenewal:
    """Reads the options that the file ``new.json`` gives, over those of the command line.

    ``refuse`` is a reason to refuse them; with ``live`` no worker is replaced.
    """

    def prepare(self) -> None:
        pass

    def attempt(self, child: Child) -> int:
        reason = self._read().get("refuse")
        if reason is not None:
            child.boot_failed("config", str(reason))
            return 78
        child.ready()
        return 0

    def outcome(self, number: int) -> Renewed:
        new = self._read()
        OPTIONS.update(new)
        generation = msgspec.structs.replace(first_generation(), number=number)
        return Renewed(generation, ", ".join(new), must_roll="live" not in new)

    def _read(self) -> dict[str, object]:
        path = Path("new.json")
        read: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
        return read


def main() -> int:
    log.never_block()
    log.event("toy imports", modules=",".join(sorted(set(sys.modules) & {"redis", "yaml"})))
    if "forks" in OPTIONS:
        os.fork = fork_or_fail(int(str(OPTIONS["forks"])))  # noqa: TID251 - as above
    if OPTIONS.get("strangers"):  # children that are not the master's own, as a pid 1 has them
        for code in (3, 78):
            os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {code}"], {})
    plan = Plan(
        identity="host:1:toy",
        version="0.1.0",
        tag="toys",
        generation=first_generation(),
        renewal=ToyRenewal(),
        poller_silent_s=float(str(OPTIONS.get("poller_silent_s", 30))),
        min_uptime_s=float(str(OPTIONS.get("min_uptime_s", 0.1))),
        pidfile=Path(str(OPTIONS["pidfile"])) if OPTIONS.get("pidfile") else None,
        store=ToyStore() if OPTIONS.get("store") else None,
        reopen_logs=reopen_logs,
        on_ready=lambda: log.event("toy instance ready"),
    )
    master = Master(plan, BOARD, clock=CLOCK, rng=random.Random(1))
    code = master.run()
    log.event("toy master leaves", status=code, threads=threading.active_count())
    return code


if __name__ == "__main__":
    sys.exit(main())
