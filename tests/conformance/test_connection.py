"""Sockets: how many, whose, how long, and what their errors say."""

import contextlib
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobd.config import RedisSettings
from jobd.connection import Backoff, Connection
from jobd.errors import RedisFull, RedisRejected, RedisUnavailable
from jobd.pool import Pool
from jobd.store import Store
from tests.conformance.parts import KEYS, Lossy
from tests.support import servers
from tests.support.eventually import eventually
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

FORKS = """
import os, sys
from jobd.config import RedisSettings
from jobd.pool import Pool

pool = Pool(RedisSettings(url=sys.argv[1]))
pool.call("LPUSH", "ids", b"parent:%d" % pool.call("CLIENT", "ID"))
child = os.fork()
if child == 0:
    for _ in range(100):
        pool.call("LPUSH", "from the child", "x")
    pool.call("LPUSH", "ids", b"child:%d" % pool.call("CLIENT", "ID"))
    os._exit(0)
for _ in range(100):
    pool.call("LPUSH", "from the parent", "x")
_, status = os.waitpid(child, 0)
pool.call("LPUSH", "ids", b"parent:%d" % pool.call("CLIENT", "ID"))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.fixture
def pool(settings: RedisSettings) -> Iterator[Pool]:
    with contextlib.closing(Pool(settings)) as pool:
        yield pool


def clients(raw: Raw, name: str = "jobd-client") -> list[dict[str, str]]:
    return [client for client in raw.client_list() if client["name"] == name]


# The pool


def test_fifty_threads_share_size_connections(settings: RedisSettings, store_raw: Raw):
    size = 3
    pool = Pool(RedisSettings(url=settings.url, size=size, network_timeout=60))
    store, start, most = Store(pool, KEYS), threading.Barrier(50), [0]

    def push(number: int) -> None:
        start.wait()
        for _ in range(4):
            store.push({"default": [b"%d" % number]})
            most[0] = max(most[0], len(clients(store_raw)))

    with ThreadPoolExecutor(50) as threads:
        list(threads.map(push, range(50)))

    assert 1 <= most[0] <= size
    assert len(clients(store_raw)) == size
    assert store_raw.llen("queue:default") == 200
    pool.close()
    eventually(lambda: not clients(store_raw))


def test_a_pool_whose_connections_are_all_busy_says_so(settings: RedisSettings):
    pool = Pool(RedisSettings(url=settings.url, size=1, network_timeout=0.05))

    def ask_again(_: Connection) -> None:
        pool.call("PING")

    with pytest.raises(RedisUnavailable, match=r"all 1 connections .* were busy .* redis.size"):
        pool._lend(ask_again)

    pool.close()


def test_a_forked_child_uses_sockets_of_its_own(store_url: str, store_raw: Raw):
    subprocess.run([sys.executable, "-c", FORKS, store_url], check=True, timeout=60)

    last, child, first = store_raw.lrange("ids", 0, -1)
    assert last == first
    assert child.startswith(b"child:")
    assert child.split(b":")[1] != first.split(b":")[1]
    assert store_raw.llen("from the parent") == store_raw.llen("from the child") == 100


def test_a_connection_that_the_server_closed_while_idle_is_replaced_and_the_push_is_one(
    pool: Pool, store_raw: Raw
):
    store = Store(pool, KEYS)
    store.push({"default": [b"before"]})
    (before,) = clients(store_raw)
    store_raw.client_kill_filter(_id=before["id"])
    eventually(lambda: not clients(store_raw))

    store.push({"default": [b"after"]})

    (after,) = clients(store_raw)
    assert after["id"] != before["id"]
    assert store_raw.lrange("queue:default", 0, -1) == [b"after", b"before"]


def test_an_error_reply_spoils_no_connection(pool: Pool, store_raw: Raw):
    store_raw.set("string", "x")

    with pytest.raises(RedisRejected, match="WRONGTYPE"):
        pool.pipeline([("PING",), ("LPUSH", "string", "a"), ("SET", "after", "1")])

    assert pool.pipeline([("GET", "after"), ("PING",)]) == [b"1", b"PONG"]
    assert len(clients(store_raw)) == 1


def test_replies_are_bytes_whatever_the_url_asks_for(store_url: str):
    mark = "&" if "?" in store_url else "?"
    url = f"{store_url}{mark}decode_responses=True&max_connections=1&socket_timeout=0.01"
    settings = RedisSettings(url=url)
    pool, connection = Pool(settings), Connection(settings)

    assert pool.call("ECHO", b"\xff") == connection.call("ECHO", b"\xff") == b"\xff"
    assert connection.call("BLPOP", "nothing", 0.1) is None
    pool.close()
    connection.close()


# One connection


def test_a_connection_connects_again_after_it_broke(connection: Connection, store_raw: Raw):
    connection.open()
    before = connection.client_id
    store_raw.client_kill_filter(_id=before)

    with pytest.raises(RedisUnavailable):
        connection.call("PING")

    assert connection.call("PING") == b"PONG"
    assert connection.client_id != before


def test_a_pipeline_reads_every_reply_before_it_raises(connection: Connection, store_raw: Raw):
    store_raw.set("string", "x")

    with pytest.raises(RedisRejected, match="WRONGTYPE"):
        connection.pipeline([("LPUSH", "string", "a"), ("SET", "after", "1"), ("PING",)])

    assert connection.call("GET", "after") == b"1"


def test_a_late_answer_is_never_taken_for_another(settings: RedisSettings, store_raw: Raw):
    with contextlib.closing(Connection(settings, timeout_s=0.5)) as connection:
        with pytest.raises(RedisUnavailable):
            connection.call("BLPOP", "list", 60)
        store_raw.lpush("list", "late")

        assert connection.call("ECHO", "mine") == b"mine"


# Errors


@pytest.mark.parametrize("kind", [Connection, Pool])
def test_a_server_that_never_answers_is_given_up_after_network_timeout(lossy: Lossy, kind: type):
    lossy.proxy.blackhole()
    client = kind(RedisSettings(url=lossy.url, network_timeout=0.1))

    with pytest.raises(RedisUnavailable, match="Timeout"):
        client.call("PING")

    client.close()


@pytest.mark.parametrize("options", ["", "?health_check_interval=0"], ids=["ours", "redis-py's"])
def test_who_may_block_for_long_is_not_kept_waiting_so_long_at_the_door(lossy: Lossy, options: str):
    lossy.proxy.blackhole()
    settings = RedisSettings(url=lossy.url + options, network_timeout=0.1)

    with pytest.raises(RedisUnavailable, match=r"[Tt]ime"):
        Connection(settings, timeout_s=3600).open()


@pytest.mark.parametrize("kind", [Connection, Pool])
def test_a_server_that_is_not_there_is_named_without_its_password(kind: type):
    port = servers.free_port()
    client = kind(RedisSettings(url=f"redis://user:s3cret@127.0.0.1:{port}/3"))

    with pytest.raises(RedisUnavailable) as caught:
        client.call("PING")

    assert f"127.0.0.1:{port}/3" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("store_url", ["valkey-tcp", "redis-tcp"], indirect=True)
def test_a_wrong_password_is_not_repeated_in_the_error(store_url: str):
    url = store_url.replace("//", "//:s3cret@")

    with pytest.raises(RedisUnavailable) as caught:
        Connection(RedisSettings(url=url)).call("PING")

    assert "s3cret" not in str(caught.value)
    assert "set user and password in the URL" in str(caught.value)


@pytest.mark.parametrize("store_url", ["valkey-tcp", "redis-tcp"], indirect=True)
@pytest.mark.parametrize("kind", [Connection, Pool])
def test_a_missing_password_is_told_with_the_remedy(kind: type, store_url: str, store_raw: Raw):
    store_raw.config_set("requirepass", "s3cret")
    try:
        with pytest.raises(RedisUnavailable, match=r"does not let us in.*set user and password"):
            kind(RedisSettings(url=store_url)).call("PING")
        right = store_url.replace("//", "//:s3cret@")
        assert kind(RedisSettings(url=right)).call("PING") == b"PONG"
    finally:
        store_raw.config_set("requirepass", "")


@pytest.mark.parametrize("store_url", ["valkey-tcp", "redis-tcp"], indirect=True)
def test_a_full_server_is_told_apart(connection: Connection, pool: Pool, store_raw: Raw):
    store_raw.config_set("maxmemory", "1")

    for client in (connection, pool):
        with pytest.raises(RedisFull, match="maxmemory"):
            client.call("SET", "a", "1")


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_server_that_became_a_replica_is_unavailable_and_is_connected_to_anew(kind: servers.Kind):
    with servers.running(kind) as server, contextlib.closing(servers.connect(server.url())) as raw:
        pool = Pool(RedisSettings(url=server.url()))
        connection = Connection(RedisSettings(url=server.url()))
        connection.call("SET", "a", "1")
        raw.replicaof("127.0.0.1", servers.free_port())

        for client in (connection, pool):
            with pytest.raises(RedisUnavailable, match="replica"):
                client.call("SET", "a", "2")
        raw.replicaof("NO", "ONE")

        assert connection.call("SET", "a", "3") == pool.call("SET", "a", "4") == b"OK"
        pool.close()
        connection.close()


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_wait_on_a_server_that_becomes_a_replica_ends_as_unavailable(kind: servers.Kind):
    with servers.running(kind) as server, contextlib.closing(servers.connect(server.url())) as raw:
        connection = Connection(RedisSettings(url=server.url()), timeout_s=10)
        connection.send(("BLMOVE", "a", "b", "RIGHT", "LEFT", 5))
        eventually(lambda: raw.info("clients")["blocked_clients"] == 1)

        raw.replicaof("127.0.0.1", servers.free_port())

        with pytest.raises(RedisUnavailable):
            connection.read()
        connection.close()


# Backoff


def test_waits_grow_to_five_seconds_and_start_over():
    backoff = Backoff(random.Random(7))

    waits = [[backoff.next_s() for _ in range(200)]]
    backoff.reset()

    assert all(0.05 <= wait_s <= 5.0 for wait_s in waits[0])
    assert max(waits[0]) > 4.5
    assert waits[0][0] <= 0.1
    assert backoff.next_s() <= 0.1


def test_waits_of_a_fleet_are_spread():
    fleet = [Backoff(random.Random(number)) for number in range(50)]
    for _ in range(9):
        waits = [backoff.next_s() for backoff in fleet]

    assert max(waits) - min(waits) > 3
    assert len(set(waits)) == 50
