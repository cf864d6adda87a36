"""A server that stops while Redis is away, and what was done meanwhile."""

import contextlib
import re
import signal

import pytest

from tests.server.load import PATIENCE_S
from tests.support import servers, wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd

pytestmark = [pytest.mark.redis, pytest.mark.process, pytest.mark.slow]


def test_result_of_a_job_that_ends_while_it_stops_is_settled_when_redis_is_back(
    start_jobd: StartJobd,
):
    with (
        servers.running(aof=True) as redis,
        contextlib.closing(servers.connect(redis.unix_url())) as raw,
    ):
        jobd = start_jobd(redis_url=redis.url(), config={"timeout": 60})
        jid = wire.push(raw, "Hold", "a")
        eventually(lambda: jobd.ran("start"), message=jobd.log)
        redis.kill9()
        jobd.signal(signal.SIGTERM)
        jobd.wait_for_log("msg=stopping")
        jobd.release("a")
        jobd.wait_for_log("msg=done class=Hold")
        redis.start()

        assert jobd.wait(PATIENCE_S) == 0

        assert [run["jid"] for run in jobd.ran()] == [jid]
        assert wire.privates(raw) == []
        assert not raw.exists("retry", "queue:default")
        assert len(re.findall("cannot use Redis", jobd.log())) <= 1


def test_stop_while_redis_stays_away_ends_in_time_and_what_could_not_be_settled_runs_again(
    start_jobd: StartJobd,
):
    with servers.running(aof=True, settings=("--appendfsync", "always")) as redis:
        jobd = start_jobd(redis_url=redis.url(), config={"timeout": 1})
        with contextlib.closing(servers.connect(redis.unix_url())) as raw:
            # A worker that no heartbeat has named is not known to be dead before a minute is over.
            worker = f'"pid":{jobd.worker().pid}'.encode()
            (instance,) = eventually(lambda: raw.keys("jobd:instance:*"), message=jobd.log)
            eventually(lambda: worker in raw.hget(instance, "workers"), PATIENCE_S, jobd.log)
            jid = wire.push(raw, "Hold", "a")
            eventually(lambda: jobd.ran("start"), message=jobd.log)
        redis.kill9()
        jobd.release("a")
        jobd.wait_for_log("msg=done class=Hold")

        assert jobd.stop(PATIENCE_S) == 0

        redis.start()
        jobd.start().wait_ready()
        eventually(lambda: [run["jid"] for run in jobd.ran()] == [jid, jid], 30, jobd.log)
        with contextlib.closing(servers.connect(redis.unix_url())) as raw:
            eventually(lambda: not wire.privates(raw), message=jobd.log)
