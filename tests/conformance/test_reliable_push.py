"""Pushes that outlive Redis: kept in order, sent once, and never more than may be kept."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobd
from jobd.app import App
from jobd.client import Client
from jobd.config import RedisSettings
from jobd.errors import ConfigError, PushBufferFull, RedisFull, RedisRejected
from jobd.keys import Keys
from jobd.pool import Pool
from jobd.reliable_push import ReliablePush
from jobd.store import Store
from tests.conformance.parts import Lossy
from tests.conftest import again
from tests.support import servers, wire
from tests.support.eventually import eventually
from tests.support.servers import Raw, Server

pytestmark = pytest.mark.redis

TIMEOUT_S = 20.0  # a server that is down refuses at once, and one that is slow is not down


@pytest.fixture(params=["valkey", again("redis")])
def own(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that may be stopped, and comes back with what it had."""
    with servers.running(request.param, aof=True) as server:
        yield server


@pytest.fixture
def own_raw(own: Server) -> Iterator[Raw]:
    with contextlib.closing(servers.connect(own.unix_url())) as raw:
        yield raw


def pusher(url: str, most: int = 1_000) -> ReliablePush:
    settings = RedisSettings(url=url, network_timeout=TIMEOUT_S)
    return ReliablePush(Store(Pool(settings), Keys()), most)


def push(client: Client, number: int) -> str | None:
    return client.push({"class": "Echo", "args": [number]})


def numbers(raw: Raw) -> list[int]:
    return [job["args"][0] for job in wire.queued(raw)]


def until_sent(reliable: ReliablePush) -> None:
    eventually(lambda: not reliable.kept)


def test_pushes_of_an_outage_are_kept_and_sent_in_order_when_it_is_over(
    own: Server, own_raw: Raw
) -> None:
    reliable = pusher(own.url())
    client = Client(lambda: reliable)
    push(client, 0)
    own.kill9()
    jids = [push(client, number) for number in range(1, 6)]
    client.push_bulk({"class": "Echo", "args": [[6], [7]]})
    client.push({"class": "Echo", "args": [8], "at": 3_600})
    assert (reliable.kept, len(set(jids))) == (8, 5)
    own.start()
    until_sent(reliable)
    push(client, 9)
    assert numbers(own_raw) == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    assert [job["args"] for job in wire.entries(own_raw, "schedule")] == [[8]]
    assert own_raw.smembers("queues") == {b"default"}
    (known,) = own_raw.keys("jobd:pushed:*")
    assert 0 < own_raw.ttl(known) <= 86_400


def test_a_push_that_arrived_though_its_reply_was_lost_is_not_doubled(lossy: Lossy) -> None:
    reliable = pusher(f"redis://127.0.0.1:{lossy.proxy.port}/0")
    client = Client(lambda: reliable)
    lossy.proxy.drop_reply_once("push_once")
    push(client, 1)
    push(client, 2)
    until_sent(reliable)
    lossy.proxy.drop_request_once("push_once")
    push(client, 3)
    until_sent(reliable)
    assert numbers(lossy.raw) == [1, 2, 3]


def test_what_would_be_too_much_is_refused_with_its_jids_and_the_rest_is_kept(
    own: Server, own_raw: Raw
) -> None:
    reliable = pusher(own.url(), most=3)
    client = Client(lambda: reliable)
    own.kill9()
    kept = [push(client, 1), push(client, 2)]
    with pytest.raises(PushBufferFull, match="2 of 3 pushes wait for Redis already") as bulk:
        client.push_bulk({"class": "Echo", "args": [[3], [4]]})
    kept.append(push(client, 5))
    with pytest.raises(PushBufferFull) as single:
        client.push({"class": "Echo", "args": [6], "jid": "b4a5"})
    own.start()
    until_sent(reliable)
    assert [job["jid"] for job in wire.queued(own_raw)] == kept
    assert (len(bulk.value.jids), single.value.jids, single.value.jid) == (2, ("b4a5",), "b4a5")
    assert "not taken: b4a5" in single.value.__notes__


def test_what_the_server_refuses_is_not_kept(own: Server, own_raw: Raw) -> None:
    reliable = pusher(own.url())
    client = Client(lambda: reliable)
    own_raw.set("queue:broken", "not a list")
    with pytest.raises(RedisRejected):
        client.push({"class": "Echo", "args": [1], "queue": "broken"})
    own_raw.config_set("maxmemory", 1)
    with pytest.raises(RedisFull):
        push(client, 2)
    own_raw.config_set("maxmemory", 0)
    assert (reliable.kept, own_raw.exists("queues", "queue:default")) == (0, 0)


def test_many_threads_lose_and_double_nothing(own: Server, own_raw: Raw) -> None:
    reliable = pusher(own.url(), most=1_000_000)
    client = Client(lambda: reliable)
    is_over = threading.Event()
    pushed: list[str | None] = []

    def work() -> None:
        while not is_over.is_set():
            pushed.append(push(client, 0))
            is_over.wait(0.01)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        before = len(pushed)
        eventually(lambda: len(pushed) > before + 40)  # noqa: B023 - called at once
        own.kill9()
        eventually(lambda: reliable.kept > 20)
        own.start()
        until_sent(reliable)
    is_over.set()
    for thread in threads:
        thread.join()
    until_sent(reliable)
    assert sorted(job["jid"] for job in wire.queued(own_raw)) == sorted(map(str, pushed))


@pytest.mark.parametrize("is_back", [True, False])
def test_at_the_end_what_is_kept_is_sent_or_told(
    own: Server, own_raw: Raw, caplog: pytest.LogCaptureFixture, is_back: bool
) -> None:
    reliable = pusher(own.url())
    own.kill9()
    push(Client(lambda: reliable), 1)
    if is_back:
        own.start()
    reliable.close(timeout_s=30 if is_back else 0.2)
    assert ("1 jobs are lost" in caplog.text) is not is_back
    own.start()
    until_sent(reliable)
    assert numbers(own_raw) == [1]


@pytest.mark.process
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_sends_nothing_of_its_parent_s_and_can_push_itself(
    own: Server, own_raw: Raw
) -> None:
    reliable = pusher(own.url())
    client = Client(lambda: reliable)
    own.kill9()
    push(client, 1)
    pid = os.fork()  # noqa: TID251 - as web servers do
    if pid == 0:
        if reliable.kept == 0:
            push(client, 2)
            reliable.close(timeout_s=30)
        os._exit(0)
    own.start()
    assert os.waitpid(pid, 0)[1] == 0
    until_sent(reliable)
    assert sorted(numbers(own_raw)) == [1, 2]


def test_the_thread_that_sends_is_left_alone_by_signals_and_ends(own: Server) -> None:
    reliable = pusher(own.url())
    own.kill9()
    others = set(threading.enumerate())  # that of the test before may be about to end
    push(Client(lambda: reliable), 1)
    (thread,) = set(threading.enumerate()) - others
    assert thread.name == "jobd-reliable-push"
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    (blocked,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigBlk")]
    assert int(blocked, 16) >> (signal.SIGTERM - 1) & 1
    own.start()
    eventually(lambda: not thread.is_alive())


def test_an_app_keeps_pushes_only_if_it_was_told_to(own: Server, own_raw: Raw) -> None:
    app = App()
    config = jobd.Configuration(app)
    config.redis = {"url": own.url(), "network_timeout": TIMEOUT_S}
    assert (config.reliable_push, app.outbox) == (0, app.store)
    config.reliable_push = 10
    own.kill9()
    app.client.push({"class": "Echo", "args": [1]})
    own.start()
    app.close()
    assert numbers(own_raw) == [1]
    with pytest.raises(ConfigError, match="a number of jobs, 0 for none, not '1000'"):
        config.reliable_push = "1000"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
