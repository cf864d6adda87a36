"""The proxy does to clients what it says."""

import time

import pytest

from tests.support import resp, servers
from tests.support.proxy import Proxy
from tests.support.servers import Raw, Server

pytestmark = pytest.mark.redis

SCRIPT = "return redis.call('INCR', KEYS[1])"


def a_client(proxy: Proxy, **options: object) -> Raw:
    return servers.connect(proxy.url(), **options)


def test_messages_are_found_however_the_bytes_arrive():
    stream = (
        b"+OK\r\n*2\r\n$3\r\nfoo\r\n:7\r\n$-1\r\n*-1\r\n%1\r\n+k\r\n*1\r\n,1.5\r\n"
        b">1\r\n+hello\r\n|1\r\n+ttl\r\n:3\r\n$0\r\n\r\n_\r\n"
    )
    splitter = resp.Splitter()

    messages = [message for byte in stream for message in splitter.feed(bytes([byte]))]

    assert b"".join(messages) == stream
    assert len(messages) == 8


@pytest.mark.parametrize(
    ("request_bytes", "names"),
    [
        (b"*1\r\n$4\r\nping\r\n", ("PING",)),
        (b"PING\r\n", ("PING",)),
        (b"*2\r\n$6\r\nclient\r\n$2\r\nid\r\n", ("CLIENT", "CLIENT ID")),
        (b"*2\r\n$3\r\nGET\r\n$2\r\nid\r\n", ("GET",)),
        (
            b"*3\r\n$7\r\nEVALSHA\r\n$40\r\n" + resp.sha1(SCRIPT).encode() + b"\r\n$1\r\n1\r\n",
            ("EVALSHA", "count"),
        ),
        (
            b"*2\r\n$4\r\nEVAL\r\n$%d\r\n%s\r\n" % (len(SCRIPT), SCRIPT.encode()),
            ("EVAL", "count"),
        ),
    ],
)
def test_requests_have_names(request_bytes: bytes, names: tuple[str, ...]):
    assert resp.names(request_bytes, {resp.sha1(SCRIPT): "count"}) == names


def test_everything_passes_and_is_counted(proxy: Proxy, raw: Raw):
    with a_client(proxy) as client, client.pipeline(transaction=True) as pipeline:
        pipeline.set("big", "x" * 1_000_000).get("big").lpush("list", "a", "b")
        replies = pipeline.execute()

    assert replies == [True, b"x" * 1_000_000, 2]
    assert raw.lrange("list", 0, -1) == [b"b", b"a"]
    assert proxy.seen["SET"] == proxy.seen["EXEC"] == proxy.seen["CLIENT SETINFO"] / 2 == 1
    assert proxy.connections == 1


def test_lost_reply_belongs_to_a_command_that_was_carried_out(proxy: Proxy, raw: Raw):
    proxy.drop_reply_once("INCRBY")
    with a_client(proxy) as client:
        with pytest.raises(servers.redis.ConnectionError):
            client.incr("counter")

        assert raw.get("counter") == b"1"
        assert client.incr("counter") == 2


def test_replies_before_the_lost_one_arrive(proxy: Proxy, raw: Raw):
    proxy.drop_reply_once("LPUSH")
    connection = servers.raw_connection(proxy.url())
    connection.send_packed_command(
        connection.pack_commands([("SADD", "set", "a"), ("LPUSH", "list", "b"), ("PING",)])
    )

    assert connection.read_response() == 1
    with pytest.raises(servers.redis.ConnectionError):
        connection.read_response()
    assert raw.llen("list") == 1
    connection.disconnect()


def test_lost_request_is_not_carried_out(proxy: Proxy, raw: Raw):
    proxy.drop_request_once("INCRBY")
    with a_client(proxy) as client:
        with pytest.raises(servers.redis.ConnectionError):
            client.incr("counter")

        assert raw.get("counter") is None
        assert client.incr("counter") == 1


def test_scripts_are_lost_by_their_name(server: Server):
    proxy = Proxy(server.port, scripts={resp.sha1(SCRIPT): "count"})
    proxy.start()
    with a_client(proxy) as client:
        proxy.drop_reply_once("count")
        with pytest.raises(servers.redis.ConnectionError):
            client.eval(SCRIPT, 1, "counter")

        assert client.evalsha(resp.sha1(SCRIPT), 1, "counter") == 2
    assert proxy.seen["count"] == 2
    proxy.stop()


def test_connection_is_cut_in_the_middle_of_a_reply(proxy: Proxy, raw: Raw):
    raw.set("long", "x" * 10_000)
    with a_client(proxy) as client:
        client.ping()
        proxy.cut_after_bytes(5_000)
        with pytest.raises(servers.redis.ConnectionError):
            client.get("long")

        assert len(client.get("long")) == 10_000


def test_refused_clients_may_come_again_after_healing(proxy: Proxy):
    with a_client(proxy) as client:
        client.ping()
        proxy.refuse()
        with pytest.raises(servers.redis.ConnectionError, match="refused"):
            client.ping()

        proxy.heal()

        assert client.ping()


def test_black_hole_answers_nothing_until_healed(proxy: Proxy, raw: Raw):
    with a_client(proxy, socket_timeout=0.1) as client:
        proxy.blackhole()
        with pytest.raises(servers.redis.TimeoutError):
            client.incr("counter")

        proxy.heal()

    assert raw.get("counter") is None
    with a_client(proxy) as client:
        assert client.incr("counter") == 1


def test_reset_shows_as_an_error_of_the_connection(proxy: Proxy):
    connection = servers.raw_connection(proxy.url())
    proxy.reset()

    with pytest.raises(servers.redis.ConnectionError, match="reset"):
        connection.read_response()
    connection.disconnect()


def test_what_was_held_back_arrives_when_resumed(proxy: Proxy, raw: Raw):
    connection = servers.raw_connection(proxy.url())
    proxy.pause()
    connection.send_command("INCR", "counter")
    assert not connection.can_read(timeout=0.05)
    assert raw.get("counter") is None

    proxy.resume()

    assert connection.read_response() == 1
    connection.disconnect()


def test_latency_delays_each_way(proxy: Proxy):
    with a_client(proxy) as client:
        client.ping()
        proxy.latency_s = 0.02
        started = time.perf_counter()
        client.ping()

        assert time.perf_counter() - started >= 0.04


def test_clients_of_a_dead_server_are_cut(proxy: Proxy):
    dead = Proxy(servers.free_port())
    dead.start()
    with a_client(dead) as client, pytest.raises(servers.redis.ConnectionError):
        client.ping()
    dead.stop()
    dead.stop()
