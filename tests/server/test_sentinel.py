"""The primary of two data nodes dies under load, and sentinels name another one."""

import contextlib
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from redis.exceptions import RedisError

from jobd.client import Client
from jobd.config import RedisSettings
from jobd.errors import RedisUnavailable
from jobd.fleet import Fleet
from jobd.keys import Keys
from jobd.pool import Pool
from jobd.reliable_push import ReliablePush
from jobd.store import Store
from tests.faults import times
from tests.server.load import PATIENCE_S, jids
from tests.support import sentinels, wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.sentinels import Watched
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow]


@pytest.fixture(params=["redis", "valkey"])
def watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    with sentinels.watched(request.param) as made:
        yield made


def push_until_it_is_gone(primary: Raw, known: list[str]) -> None:
    """Push, and note each job that the replica has too."""
    with contextlib.suppress(RedisError):
        while True:
            jid = wire.push(primary, "Echo")
            if primary.execute_command("WAIT", 1, 1_000):
                known.append(jid)


def test_F4_failover_under_load_is_followed_without_a_restart_and_loses_nothing_the_replica_had(
    watched: Watched, start_jobd: StartJobd
):
    settings = RedisSettings(url=watched.url, network_timeout=1)
    store = Store(Pool(settings), Keys())
    client = Client(lambda: reliable)
    reliable = ReliablePush(store, 10_000)
    jobd = start_jobd(redis_url=watched.url, config={"concurrency": 2})
    before = {jobd.poller().pid, jobd.worker(1).pid, jobd.worker(2).pid}
    pushed = [client.push({"class": "Echo", "args": [n]}) for n in range(50)]
    pushed.append(client.push({"class": "Hold", "args": ["a"]}))
    eventually(lambda: len(jobd.ran()) == 50 and jobd.ran("start"), message=jobd.log)
    watched.replicated()

    with watched.connect(0) as primary:
        load = threading.Thread(target=push_until_it_is_gone, args=(primary, pushed))
        load.start()
        eventually(lambda: len(pushed) > 100)
        watched.nodes[0].kill9()
        struck = wire.now_ms() / 1000
        load.join()
    later = [client.push({"class": "Echo", "args": [n]}) for n in range(50)]
    pushed += later
    jobd.release("a")

    eventually(lambda: set(pushed) <= set(jids([jobd])), PATIENCE_S, jobd.log)
    times.note([struck], [run for run in jobd.ran() if run["jid"] in later])
    assert {jobd.poller().pid, jobd.worker(1).pid, jobd.worker(2).pid} == before
    assert max(Counter(jids([jobd])).values()) <= 2  # an end that the replica had not heard of
    with watched.connect(1) as raw:
        eventually(lambda: not wire.privates(raw), PATIENCE_S, jobd.log)
        assert not raw.exists("retry", "dead")
    jobd.wait_for_log("Redis answers again")
    assert sentinels.PASSWORD not in jobd.log()
    command = [sys.executable, "-c", "import sys; from jobd.ctl import main; sys.exit(main())"]
    told = subprocess.run(
        [*command, "status", "--json"],
        env={"REDIS_URL": watched.url},
        cwd=jobd.directory,
        capture_output=True,
        check=True,
    )
    assert json.loads(told.stdout)
    assert jobd.stop() == 0


def test_without_a_sentinel_that_answers_the_error_names_them_and_no_password(
    watched: Watched,
):
    url = watched.url.replace("/jobs/", "/unknown/")
    fleet = Fleet(Pool(RedisSettings(url=url, network_timeout=1)), Keys())
    with pytest.raises(RedisUnavailable) as unavailable:
        fleet.ping()
    assert f"none of the sentinels (127.0.0.1:{watched.ports[0]}" in str(unavailable.value)
    assert "knows a primary called unknown that is up" in str(unavailable.value)
    assert "s3cret" not in str(unavailable.value)
