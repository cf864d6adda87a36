"""A real jobd, started as an operator would, and read from outside only.

Each has a directory of its own: configuration, jobs, log and what the jobs wrote down. What it
leaves behind when it ends fails the test.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, TypeAlias

import psutil
import yaml

from tests.support import leash
from tests.support.eventually import PATIENCE_S, eventually
from tests.support.notify import NotifySocket

Role = Literal["worker", "poller", "mold", "store", "other"]

REPOSITORY = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "jobd")
SAMPLE_JOBS = Path(__file__).with_name("sample_jobs.py")

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {"concurrency": 1, "timeout": 5, "log": {"format": "logfmt"}}
)

# What a developer's shell or a service manager may have set.
_FOREIGN = re.compile(r"JOBD_|REDIS_|APP_ENV$|NOTIFY_SOCKET$|WATCHDOG_|DYNO$|DEBUG_INVOCATION$")


@dataclass(frozen=True, slots=True)
class Child:
    """A process below a master, as ps(1) would show it.

    Attributes:
        slot: the N of ``jobd: worker N``.
    """

    pid: int
    role: Role
    slot: int | None
    title: str


class JobdProcess:
    """One instance of jobd: a master and what it started.

    Args:
        directory: made if it is missing; the working directory.
        redis_url: becomes ``REDIS_URL``; None leaves it unset.
        config: keys of ``jobd.yml`` over `DEFAULTS`; a text is written as it
            is; None starts jobd without a file.
        jobs: text of a module of jobs, required instead of ``tests/support/sample_jobs.py``.
        args: further arguments of the command line.
        env: further environment variables.
        command: what to run instead of ``python -m jobd``.

    Attributes:
        notify: its ``NOTIFY_SOCKET``.
        patience_s: how long `close` waits after SIGQUIT before it kills.
    """

    def __init__(
        self,
        directory: Path,
        *,
        redis_url: str | None,
        config: Mapping[str, Any] | str | None = DEFAULTS,
        jobs: str | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.directory = directory
        self.notify = NotifySocket()
        self.patience_s = 5.0
        self._jobs = jobs
        self._env = _environment(redis_url, self.notify.path, env or {})
        directory.mkdir(parents=True, exist_ok=True)
        self._command = [*command, *self._written(config), *args]
        self._process: subprocess.Popen[bytes] | None = None
        self._family: set[int] = set()  # every pid that was ever seen below the master
        # What was read of ran.jsonl: a stage of many tests has much, and asks again and again.
        self._ran: list[dict[str, Any]] = []
        self._ran_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Its life

    def start(self) -> Self:
        """Start the master, again if it has left; does not wait for it."""
        leash.adopt_orphans()
        self.notify.forget()
        with self.log_path.open("ab") as log:
            self._process = leash.start(
                self._command, cwd=self.directory, env=self._env, output=log
            )
        return self

    def wait_ready(self, timeout: float = PATIENCE_S) -> Self:
        """Wait until it told its service manager that it is ready.

        Raises:
            AssertionError: it ended instead, or time is up; with its log.
        """

        def is_ready_or_dead() -> bool:
            return self.notify.saw("READY=1") or self.returncode is not None

        eventually(is_ready_or_dead, timeout=timeout, message=self.log)
        if not self.notify.saw("READY=1"):
            raise AssertionError(f"jobd left with status {self.returncode}\n{self.log()}")
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the master."""
        self._running().send_signal(number)

    def wait(self, timeout: float = PATIENCE_S) -> int:
        """Wait until the master has left.

        Returns:
            its exit status; minus the number of the signal that killed it.
        """
        self.children()
        try:
            return self._running().wait(timeout=timeout)
        except subprocess.TimeoutExpired as err:
            raise AssertionError(f"still runs after {timeout:g} s\n{self.log()}") from err

    def stop(self, timeout: float = PATIENCE_S) -> int:
        """SIGTERM, and wait for the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill9(self) -> None:
        """SIGKILL the master; its children have to notice by themselves."""
        self.children()
        self.signal(signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """End it if it runs, kill what will not go, and check that nothing was left.

        Raises:
            AssertionError: a master that left by itself left processes behind, or the children
                of one that was killed are still there after ten seconds.
        """
        if self._process is not None:
            sys.stdout.write(f"--- {self.log_path}\n{self.log()}\n")
            left = self._end() if self._process.poll() is None else self._leftovers()
            descriptions = [_describe(process) for process in left]
            leash.kill(left)
            self._process = None
            self.notify.close()
            assert not left, f"left behind: {descriptions}"
        self.notify.close()

    # What can be seen of it

    @property
    def pid(self) -> int:
        """Of the master."""
        return self._running().pid

    @property
    def returncode(self) -> int | None:
        """Of the master; None while it runs."""
        return self._running().poll()

    def children(self, role: Role | None = None) -> list[Child]:
        """Return the living processes below the master, those of one role if given."""
        found: list[Child] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.pid).children(recursive=True):
                self._family.add(process.pid)
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    found.append(_child(process))
        return [child for child in found if role is None or child.role == role]

    def worker(self, slot: int = 1) -> Child:
        """Return the worker in this slot, waiting until there is one."""
        return eventually(
            lambda: next(iter(c for c in self.children("worker") if c.slot == slot)),
            message=lambda: f"worker {slot} of {self.children()}",
        )

    def poller(self) -> Child:
        """Return the poller, waiting until there is one."""
        return eventually(lambda: self.children("poller"), message=self.log)[0]

    def orphans(self) -> list[psutil.Process]:
        """Return the living processes that lost their parent to `kill9`."""
        return leash.orphans(self.directory, self._family)

    @property
    def log_path(self) -> Path:
        """Of the file that gets its stdout and stderr."""
        return self.directory / "jobd.log"

    def log(self) -> str:
        """Return all that it has printed."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_for_log(self, pattern: str, timeout: float = PATIENCE_S) -> re.Match[str]:
        """Return the first match in the log (``^`` and ``$`` at lines), once there is one."""
        return eventually(
            lambda: re.search(pattern, self.log(), re.MULTILINE),
            timeout=timeout,
            message=lambda: f"{pattern!r} in the log:\n{self.log()}\n",
        )

    def wait_for_line(self, text: str, timeout: float = PATIENCE_S) -> str:
        """Return the first line of the log with that text, once there is one."""
        # Not by a pattern that begins with ".*": in a line of megabytes that takes for ever.
        return eventually(
            lambda: next((line for line in self.log().splitlines() if text in line), None),
            timeout=timeout,
            message=lambda: f"{text!r} in the log:\n{self.log()}\n",
        )

    # Its jobs (those of sample_jobs.py)

    def ran(self, event: str = "done") -> list[dict[str, Any]]:
        """Return what jobs wrote down: event, class, jid, args, pid, at_ms; oldest first."""
        path = self.directory / "ran.jsonl"
        if path.exists():
            with path.open("rb") as file:
                file.seek(self._ran_bytes)
                # The last line may still be on its way.
                lines = file.read().split(b"\n")[:-1]
            self._ran_bytes += sum(len(line) + 1 for line in lines)
            self._ran += map(json.loads, lines)
        return [run for run in self._ran if run["event"] == event]

    def release(self, name: str) -> None:
        """Let the jobs ``Hold`` and ``Spin`` of this name go on."""
        (self.directory / f"released-{name}").touch()

    # How it is done

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("jobd was not started")
        return self._process

    def _written(self, config: Mapping[str, Any] | str | None) -> list[str]:
        required = str(SAMPLE_JOBS)
        if self._jobs is not None:
            (self.directory / "app_jobs.py").write_text(self._jobs)
            required = "app_jobs"
        if config is None:
            return []
        if not isinstance(config, str):
            config = yaml.safe_dump({"require": [required], **DEFAULTS, **config})
        path = self.directory / "jobd.yml"
        path.write_text(config)
        return ["-C", str(path)]

    def _end(self) -> list[psutil.Process]:
        """End a master that still runs; return what was left if it left by itself."""
        master = psutil.Process(self.pid)
        tree: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):  # one that has just left
            tree = master.children(recursive=True)
        self._family |= {process.pid for process in tree}
        for process in (master, *tree):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()  # a test may have stopped it
        try:
            self.signal(signal.SIGQUIT)  # nobody waits for what its jobs still do
            self.wait(timeout=self.patience_s)
        except AssertionError:
            self._running().kill()
            self._running().wait()
            leash.kill([*tree, *self.orphans()])
            return []
        return self._leftovers()

    def _leftovers(self) -> list[psutil.Process]:
        if self.returncode == -signal.SIGKILL:
            with contextlib.suppress(AssertionError):
                eventually(lambda: not self.orphans())
        return self.orphans()


# The fixture of this name: the constructor's options, and ``ready``.
StartJobd: TypeAlias = Callable[..., JobdProcess]


def _environment(
    redis_url: str | None, notify_path: Path, extra: Mapping[str, str]
) -> dict[str, str]:
    inherited = {name: text for name, text in os.environ.items() if not _FOREIGN.match(name)}
    search = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    ours = {
        "PYTHONPATH": os.pathsep.join(search),
        # A test may write its module again within the second that a cache can tell apart.
        "PYTHONDONTWRITEBYTECODE": "1",
        "JOBD_ENV": "test",
        "NOTIFY_SOCKET": str(notify_path),
    }
    redis = {} if redis_url is None else {"REDIS_URL": redis_url}
    return {**inherited, **ours, **redis, **extra}


def _child(process: psutil.Process) -> Child:
    title = " ".join(process.cmdline()).strip()
    if worker := re.match(r"jobd: worker (\d+)", title):
        return Child(process.pid, "worker", int(worker[1]), title)
    if title.startswith("jobd: poller"):
        return Child(process.pid, "poller", None, title)
    if title == "jobd: mold":
        return Child(process.pid, "mold", None, title)
    is_store = re.match(r"\S*(valkey|redis)-server", title)
    return Child(process.pid, "store" if is_store else "other", None, title)


def _describe(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return f"{process.pid} {' '.join(process.cmdline())}"
    return str(process.pid)
