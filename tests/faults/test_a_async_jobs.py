"""As in A: a worker is killed at each instant of the life of a job that runs in its loop."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from tests.faults.conftest import StartRigged
from tests.faults.stage import PATIENCE_S, SCRIPTS, Points
from tests.server.test_async_jobs import JOBS
from tests.server.test_threads import done, is_clean, started
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess
from tests.support.proxy import Proxy
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

# And how often a job may then begin.
INSTANTS = {
    "before hand_over": 1,
    "after hand_over": 1,
    "performed": 2,
    "before finish": 2,
    "after finish": 1,
    "before acknowledge_held": 1,
    "after acknowledge_held": 1,
}


def start(start_rigged: StartRigged, url: str) -> tuple[JobdProcess, Points]:
    config = {"concurrency": 1, "require": ["app_jobs"]}
    jobd = start_rigged(url, config=config, jobs=JOBS)
    return jobd, Points(jobd.directory / "points")


@pytest.mark.parametrize("point", INSTANTS)
def test_a_job_whose_worker_is_killed_is_settled_once(
    raw: Raw, redis_url: str, start_rigged: StartRigged, point: str
):
    jobd, points = start(start_rigged, redis_url)
    points.order(point)
    jid = wire.push(raw, "Pause", 0.01)

    points.wait_for(point)
    eventually(lambda: done(jobd) == {jid}, PATIENCE_S, jobd.log)

    eventually(lambda: is_clean(raw), PATIENCE_S, jobd.log)
    assert len(started(jobd)) <= INSTANTS[point]
    assert raw.zcard("retry") == raw.zcard("dead") == 0


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    port = urlsplit(redis_url).port
    assert port is not None
    proxy = Proxy(port, scripts=SCRIPTS)
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.mark.parametrize("lose", [Proxy.drop_request_once, Proxy.drop_reply_once])
@pytest.mark.parametrize("command", ["hand_over", "LREM"])
def test_a_job_of_which_a_request_or_a_reply_is_lost_runs_once(
    raw: Raw,
    proxy: Proxy,
    start_rigged: StartRigged,
    command: str,
    lose: Callable[[Proxy, str], None],
):
    jobd, _ = start(start_rigged, proxy.url())
    lose(proxy, command)
    jid = wire.push(raw, "Pause", 0.01)

    eventually(lambda: done(jobd) == {jid}, PATIENCE_S, jobd.log)
    eventually(lambda: is_clean(raw), PATIENCE_S, jobd.log)
    jobd.close()
    assert started(jobd) == [jid]
    assert "ownership lost" not in jobd.log()


@pytest.mark.parametrize("lose", [Proxy.drop_request_once, Proxy.drop_reply_once])
def test_a_failure_of_which_a_request_or_a_reply_is_lost_is_kept_once(
    raw: Raw, proxy: Proxy, start_rigged: StartRigged, lose: Callable[[Proxy, str], None]
):
    jobd, _ = start(start_rigged, proxy.url())
    lose(proxy, "retry")
    jid = wire.push(raw, "Raise")

    eventually(lambda: is_clean(raw) and raw.zcard("retry") == 1, PATIENCE_S, jobd.log)
    (failed,) = wire.entries(raw, "retry")
    assert (failed["jid"], failed["retry_count"]) == (jid, 0)
    jobd.close()
    assert "ownership lost" not in jobd.log()


@pytest.mark.parametrize("point", ["before retry", "after retry"])
def test_a_failure_whose_worker_is_killed_while_it_is_settled_is_kept_once(
    raw: Raw, redis_url: str, start_rigged: StartRigged, point: str
):
    jobd, points = start(start_rigged, redis_url)
    points.order(point)
    jid = wire.push(raw, "Raise")

    points.wait_for(point)

    eventually(lambda: [job["jid"] for job in wire.entries(raw, "retry")] == [jid], PATIENCE_S)
    eventually(lambda: is_clean(raw), PATIENCE_S, jobd.log)


@pytest.mark.parametrize("point", ["before give_back", "after give_back"])
def test_a_job_whose_worker_is_killed_while_it_is_given_back_is_in_one_place(
    raw: Raw, redis_url: str, start_rigged: StartRigged, point: str
):
    jobd, points = start(start_rigged, redis_url)
    jid = wire.push(raw, "Linger")
    eventually(lambda: started(jobd) == [jid], PATIENCE_S, jobd.log)
    points.order(point)

    os.kill(jobd.worker().pid, signal.SIGQUIT)
    points.wait_for(point)

    eventually(lambda: started(jobd) == [jid, jid], PATIENCE_S, jobd.log)
    eventually(lambda: not wire.queued(raw))
    lists = [raw.lrange(name, 0, -1) for name in wire.privates(raw)]
    assert [json.loads(job)["jid"] for jobs in lists for job in jobs] == [jid]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_a_hundred_async_jobs_go_on_through_a_reload_and_one_more_waits_for_no_place(
    raw: Raw, redis_url: str, start_rigged: StartRigged, number: signal.Signals
):
    jobd, _ = start(start_rigged, redis_url)
    old = jobd.worker().pid
    jids = [wire.push(raw, "Stay", "all") for _ in range(100)]  # every place
    eventually(lambda: len(started(jobd)) == 100, PATIENCE_S, jobd.log)
    later = wire.push(raw, "Pause", 0)
    eventually(lambda: not wire.queued(raw), PATIENCE_S, jobd.log)  # it waits for a place there

    jobd.signal(number)
    eventually(lambda: done(jobd) == {later}, PATIENCE_S, jobd.log)
    jobd.release("all")

    eventually(lambda: done(jobd) == {*jids, later}, PATIENCE_S, jobd.log)
    eventually(lambda: is_clean(raw), PATIENCE_S, jobd.log)
    eventually(lambda: old not in {child.pid for child in jobd.children()}, PATIENCE_S, jobd.log)
    pids = {run["jid"]: run["pid"] for run in jobd.ran("start")}
    assert len(jobd.ran("start")) == 101
    assert {jid for jid, pid in pids.items() if pid != old} == {later}


def shown(raw: Raw) -> set[str]:
    """The jids of the jobs that the poller tells of."""
    (name,) = raw.keys("*:work")
    return {json.loads(json.loads(work)["payload"])["jid"] for work in raw.hvals(name)}


@pytest.mark.parametrize("threads", [1, 2])
def test_each_async_job_that_basic_fetch_loses_is_told(
    raw: Raw, redis_url: str, start_rigged: StartRigged, threads: int
):
    config = {"concurrency": 1, "require": ["app_jobs"], "fetch": "basic", "threads": threads}
    jobd = start_rigged(redis_url, config=config | {"async_concurrency": 3}, jobs=JOBS)
    jids = [wire.push(raw, "Stay", "all") for _ in range(3)]
    eventually(lambda: set(started(jobd)) == set(jids), PATIENCE_S, jobd.log)
    jids += [wire.push(raw, "Pause", 0) for _ in range(threads)]
    eventually(lambda: shown(raw) == set(jids), PATIENCE_S, jobd.log)  # they wait for a place

    os.kill(jobd.worker().pid, signal.SIGKILL)

    for jid in jids:
        jobd.wait_for_log(f"a job is lost: .*{jid}")


@pytest.mark.parametrize("point", ["before bury", "after bury"])
def test_a_failure_whose_worker_is_killed_while_it_is_buried_is_dead_once(
    raw: Raw, redis_url: str, start_rigged: StartRigged, point: str
):
    jobd, points = start(start_rigged, redis_url)
    points.order(point)
    jid = wire.push(raw, "Raise", retry=0)

    points.wait_for(point)

    eventually(lambda: [job["jid"] for job in wire.entries(raw, "dead")] == [jid], PATIENCE_S)
    eventually(lambda: is_clean(raw), PATIENCE_S, jobd.log)


@pytest.mark.parametrize("fetch", ["reliable", "basic"])
def test_quiet_and_stop_give_back_what_waits_for_a_place(
    raw: Raw, redis_url: str, start_rigged: StartRigged, fetch: str
):
    config = {"concurrency": 1, "require": ["app_jobs"], "fetch": fetch, "async_concurrency": 1}
    jobd = start_rigged(redis_url, config=config, jobs=JOBS)
    running = wire.push(raw, "Stay", "all")
    eventually(lambda: started(jobd) == [running], PATIENCE_S, jobd.log)
    waiting = wire.push(raw, "Pause", 0)
    eventually(lambda: not wire.queued(raw), PATIENCE_S, jobd.log)

    jobd.signal(signal.SIGTSTP)
    eventually(lambda: [job["jid"] for job in wire.queued(raw)] == [waiting], PATIENCE_S, jobd.log)
    jobd.signal(signal.SIGCONT)
    eventually(lambda: not wire.queued(raw), PATIENCE_S, jobd.log)

    jobd.signal(signal.SIGTERM)
    eventually(lambda: [job["jid"] for job in wire.queued(raw)] == [waiting], PATIENCE_S, jobd.log)
    jobd.release("all")
    assert jobd.wait() == 0
    assert done(jobd) == {running}
    assert wire.privates(raw) == []
