"""A worker inside this process."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import setproctitle

import jobd
from jobd import IterableJob, Job
from jobd.api import ProcessSet, WorkSet
from jobd.app import current_app  # noqa: TID251 - put back after each test
from jobd.jobs import registry
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

RAN: list[Any] = []
GO = threading.Event()


@pytest.fixture(autouse=True)
def jobs(redis_url: str) -> Iterator[None]:
    """Jobs that are known in these tests only, and pushed to their server."""
    app = current_app()
    before, known = app.redis, registry.names()
    app.redis = jobd_settings(redis_url)
    RAN.clear()
    GO.clear()

    class Note(Job):
        def perform(self, text: str) -> None:
            RAN.append((text, threading.current_thread().name))

    class NoteAsync(Job):
        async def perform(self, text: str) -> None:
            await asyncio.sleep(0)
            RAN.append((text, threading.current_thread().name))

    class Wait(Job):
        def perform(self) -> None:
            RAN.append("waits")
            GO.wait(30)
            RAN.append("done")

    class Rows(IterableJob):
        def build_enumerator(self, cursor: int | None) -> Any:
            return ((n, n) for n in range(cursor or 0, 1_000_000))

        def each_iteration(self, row: int) -> None:
            RAN.append(row)
            GO.wait(0.01)

    yield
    GO.set()
    app.redis = before
    for name in set(registry.names()) - set(known):
        registry.forget(name)


def jobd_settings(url: str) -> Any:
    from jobd.config import RedisSettings  # noqa: PLC0415 - for the fixture alone

    return RedisSettings(url=url)


def push(name: str, *args: Any, **options: Any) -> str:
    jid = jobd.push({"class": name, "args": list(args), **options})
    assert jid is not None
    return jid


def test_jobs_run_in_a_thread_and_the_process_keeps_its_handlers_and_title() -> None:
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    title = setproctitle.getproctitle()
    with jobd.embed():
        push("Note", "at once")
        eventually(lambda: RAN == [("at once", "jobd-worker")])
        assert {number: signal.getsignal(number) for number in handlers} == handlers
        assert setproctitle.getproctitle() == title


def test_an_async_job_runs_to_its_end_in_that_thread() -> None:
    with jobd.embed():
        push("NoteAsync", "one")
        push("Note", "two")
        eventually(lambda: RAN == [("one", "jobd-worker"), ("two", "jobd-worker")])
        eventually(lambda: [process.concurrency for process in ProcessSet()] == [1])


def test_at_its_end_the_running_job_is_finished_and_nothing_is_left(raw: Raw) -> None:
    embedded = jobd.embed()
    push("Wait")
    eventually(lambda: RAN == ["waits"])
    push("Note", "too late")
    threading.Timer(0.2, GO.set).start()
    assert embedded.stop()
    assert RAN == ["waits", "done"]
    assert len(wire.queued(raw)) == 1
    assert wire.privates(raw) == []
    assert raw.scard("processes") == 0
    assert embedded.stop()  # twice is fine


def test_a_job_that_does_not_end_in_time_stays_held(raw: Raw) -> None:
    embedded = jobd.embed()
    push("Wait")
    eventually(lambda: RAN == ["waits"])
    assert not embedded.stop(timeout=0.05)
    (private,) = wire.privates(raw)
    assert raw.llen(private) == 1


def test_due_jobs_are_promoted_and_an_iterable_job_stops_at_once(raw: Raw) -> None:
    embedded = jobd.embed()
    push("Rows", at=0.2)
    eventually(lambda: len(RAN) > 3)
    assert embedded.stop()
    (payload,) = wire.queued(raw)
    assert raw.hget(f"it-{payload['jid']}", "c") == str(len(RAN)).encode()


def test_it_is_seen_as_embedded_and_rests_when_told(raw: Raw) -> None:
    with jobd.embed(queues=["low"]) as embedded:
        (process,) = eventually(lambda: list(ProcessSet()))
        assert (process.is_embedded, list(process.queues)) == (True, ["low"])
        embedded.quiet()
        push("Note", "later", queue="low")
        eventually(lambda: ProcessSet()[process.identity].is_quiet)
        assert RAN == []
        embedded.resume()
        eventually(lambda: RAN)


def test_with_threads_jobs_run_side_by_side_and_all_of_them_are_seen(
    raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobd.yml").write_text("threads: 3\n")
    monkeypatch.chdir(tmp_path)
    with jobd.embed():
        for _ in range(3):
            push("Wait")
        eventually(lambda: RAN == ["waits"] * 3)
        wire.have_them_beat(raw)
        eventually(lambda: len(WorkSet()) == 3)
        (process,) = ProcessSet()
        assert (process.concurrency, process.busy) == (3, 3)
        GO.set()
    assert RAN == ["waits"] * 3 + ["done"] * 3


SCRIPT = """
import threading, time
import jobd
from jobd import Job

begun = threading.Event()

class Slow(Job):
    def perform(self):
        print("begins", flush=True)
        begun.set()
        time.sleep(0.5)
        print("ends", flush=True)

jobd.embed()
Slow.perform_async()
begun.wait()
"""


@pytest.mark.process
def test_it_drains_when_the_process_ends(redis_url: str, raw: Raw, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SCRIPT)
    env = {"REDIS_URL": redis_url, "PYTHONPATH": str(Path(jobd.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "slow.py"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line in {"begins", "ends"}] == [
        "begins",
        "ends",
    ]
    assert (wire.queued(raw), wire.privates(raw)) == ([], [])
