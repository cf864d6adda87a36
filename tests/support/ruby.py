"""Ruby Sidekiq (Debian's 6.4) as the other side of the wire: its client, its API, its workers."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.support import leash
from tests.support.eventually import PATIENCE_S, eventually

_SCRIPTS = Path(__file__).parents[1] / "ruby"


@dataclass(frozen=True, slots=True)
class Page:
    """What a browser gets."""

    status: int
    location: str | None
    body: str


class Ruby:
    """Ruby Sidekiq on one database; skips the test where it is not installed.

    Args:
        redis_url: over TCP; or ``unix:///path``, which is database 0.
        directory: for the logs of workers.
    """

    def __init__(self, redis_url: str, directory: Path) -> None:
        self._ruby = leash.needs("ruby", "ruby-sidekiq")
        self._sidekiq = leash.needs("sidekiq", "ruby-sidekiq")
        self._directory = directory
        self._env = {**os.environ, "REDIS_URL": redis_url, "APP_ENV": "test"}

    def call(self, command: str, argument: object = None) -> Any:
        """Run a command of ``tests/ruby/client.rb`` and return its answer.

        Args:
            command: ``stats``, ``queues``, ``processes``, ``work``, ``scheduled``, ``retries``,
                ``dead`` read; ``retry_all``, ``kill_all``, ``resurrect_all``, ``delete``
                (a jid), ``quiet``, ``stop``, ``dump`` act.
            argument: anything that JSON can carry.
        """
        return self._run("client.rb", argument, command)

    def browse(self, *requests: Mapping[str, Any]) -> list[Page]:
        """Visit pages of ``Sidekiq::Web``, one after the other in one session.

        Args:
            requests: ``page``, a path; to send a form of it also ``form``, its fields, and ``to``,
                where it goes unless back to the page.
        """
        return [Page(**answer) for answer in self._run("web.rb", requests)]

    def _run(self, script: str, given: object, *args: str) -> Any:
        done = subprocess.run(
            [self._ruby, str(_SCRIPTS / script), *args],
            input=json.dumps(given).encode(),
            env=self._env,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def push(self, name: str, *args: Any, **options: Any) -> str:
        """Push a job by its class name with ``Sidekiq::Client.push``; returns its jid.

        Args:
            name: of the class.
            args: of the job.
            options: ``queue``, ``retry``, ``at`` and so on.
        """
        jid = self.call("push", {"class": name, "args": list(args), **options})
        assert isinstance(jid, str)
        return jid

    def worker(
        self, jobs: Sequence[str], *, queues: Sequence[str] = ("default",), threads: int = 1
    ) -> "RubyWorker":
        """Start ``sidekiq`` with these job classes; use it in ``with``."""
        flags = [flag for queue in queues for flag in ("-q", queue)]
        script = str(_SCRIPTS / "worker.rb")
        command = [self._sidekiq, "-r", script, "-c", str(threads), "-t", "3", *flags]
        env = {**self._env, "RUBY_JOBS": ",".join(jobs)}
        return RubyWorker(command, env, self._directory / "sidekiq.log")


class RubyWorker:
    """A running ``sidekiq`` process."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = leash.start(command, cwd=log.parent, env=env, output=output)

    def __enter__(self) -> Self:
        eventually(self._has_booted, message=self.log)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # its own way of leaving takes two seconds
        self._process.wait()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait until it has left; returns the exit status."""
        return self._process.wait(timeout=PATIENCE_S)

    def log(self) -> str:
        """Return what it has printed."""
        return self._log.read_text(errors="replace")

    def _has_booted(self) -> bool:
        # It prints this line before it reads the first job.
        return "Starting processing" in self.log() or "Running in ruby" in self.log()
