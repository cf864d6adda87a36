"""Redis stops, dies, or is not there yet: the server waits, loses nothing, and works again."""

import contextlib
import re
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.server.load import PATIENCE_S, jids, push_what_is_accepted, wait_for_more_runs
from tests.support import servers, wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw, Server

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow]


@pytest.fixture
def durable() -> Iterator[Server]:
    """A server that has on disk what it has acknowledged."""
    with servers.running(aof=True, settings=("--appendfsync", "always")) as server:
        yield server


@pytest.fixture
def durable_raw(durable: Server) -> Iterator[Raw]:
    with contextlib.closing(servers.connect(durable.unix_url())) as client:
        yield client


def crash(server: Server) -> None:
    server.kill9()
    server.start()


def children(jobd: JobdProcess) -> set[int]:
    return {child.pid for child in jobd.children()}


@pytest.mark.parametrize("interrupt", [Server.restart, crash])
def test_every_accepted_job_runs_though_redis_goes_away_under_load(
    durable: Server, durable_raw: Raw, start_jobd: StartJobd, interrupt: Callable[[Server], None]
):
    jobd = start_jobd(redis_url=durable.url(), config={"concurrency": 2})
    before = children(jobd)
    accepted: set[str] = set()
    seen = 0
    for _ in range(3):
        accepted |= push_what_is_accepted(durable_raw, "Echo", 200)
        seen = wait_for_more_runs(jobd, seen)
        interrupt(durable)
        accepted |= push_what_is_accepted(durable_raw, "Echo", 50)

    eventually(lambda: accepted <= set(jids([jobd])), timeout=PATIENCE_S, message=jobd.log)

    assert children(jobd) == before
    assert jobd.stop() == 0
    assert wire.privates(durable_raw) == []
    assert not durable_raw.exists("retry", "dead")


def test_job_that_was_running_while_redis_was_away_runs_once(
    durable: Server, durable_raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(redis_url=durable.url())
    wire.push(durable_raw, "Hold", "a")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    durable.kill9()
    jobd.release("a")
    eventually(jobd.ran, message=jobd.log)
    durable.start()
    wire.push(durable_raw, "Echo")

    eventually(lambda: len(jobd.ran()) == 2, timeout=PATIENCE_S, message=jobd.log)

    assert jobd.stop() == 0
    assert len(jobd.ran("start")) == 1
    assert wire.privates(durable_raw) == []
    assert not durable_raw.exists("retry", "queue:default")


def test_result_of_a_job_that_ends_while_it_stops_and_redis_is_away_is_settled(
    durable: Server, durable_raw: Raw, start_jobd: StartJobd
):
    jobd = start_jobd(redis_url=durable.url(), config={"timeout": 60})
    jid = wire.push(durable_raw, "Hold", "a")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    durable.kill9()
    jobd.signal(signal.SIGTERM)
    jobd.wait_for_log("msg=stopping")
    jobd.release("a")
    jobd.wait_for_log("msg=done class=Hold")
    durable.start()

    assert jobd.wait(PATIENCE_S) == 0

    assert [run["jid"] for run in jobd.ran()] == [jid]
    assert wire.privates(durable_raw) == []
    assert not durable_raw.exists("retry", "queue:default")
    assert len(re.findall("cannot use Redis", jobd.log())) <= 1


def test_server_waits_for_redis_at_boot_and_says_so_once(start_jobd: StartJobd):
    redis = servers.Server()
    address = f"127.0.0.1:{redis.port}/0"
    with contextlib.closing(redis):
        jobd = start_jobd(redis_url=f"redis://default:secret@{address}", config={"concurrency": 3})
        line = jobd.wait_for_log(f".*cannot use Redis at .*{address}.*", timeout=30)[0]
        redis.start()
        with contextlib.closing(servers.connect(redis.url())) as raw:
            wire.push(raw, "Echo")
            eventually(jobd.ran, timeout=PATIENCE_S, message=jobd.log)

        assert "redis.url or REDIS_URL" in line
        assert "secret" not in jobd.log()
        assert len(re.findall("cannot use Redis", jobd.log())) == 1
        jobd.wait_for_log("Redis answers again")
        assert jobd.stop() == 0


def test_server_stops_while_redis_is_away(start_jobd: StartJobd):
    redis = servers.Server()
    with contextlib.closing(redis):
        jobd = start_jobd(redis_url=redis.url())
        jobd.wait_for_log("cannot use Redis", timeout=30)

        assert jobd.stop() == 0
