"""The tests' own tools do what the tests believe of them."""

import pytest

from tests.support import servers
from tests.support.clock import FakeClock
from tests.support.eventually import eventually
from tests.support.servers import Raw, Server


def test_eventually_returns_the_first_true_answer():
    answers = iter([0, None, 3, 4])

    assert eventually(lambda: next(answers)) == 3


def test_eventually_tells_the_last_answer_when_time_is_up():
    with pytest.raises(AssertionError, match=r"not within 0.01 s: cake \(last answer: 0\)"):
        eventually(lambda: 0, timeout=0.01, message="cake")


def test_eventually_tells_the_last_exception_when_time_is_up():
    with pytest.raises(AssertionError, match="last error: ZeroDivisionError") as caught:
        eventually(lambda: 1 // 0, timeout=0.01)

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_fake_clock_moves_only_when_told():
    clock = FakeClock(now_ms=5_000)
    before = clock.monotonic()

    clock.advance(1.5)
    clock.step(-60)

    assert clock.now_ms() == 5_000 + 1_500 - 60_000
    assert clock.monotonic() == before + 1.5


@pytest.mark.redis
def test_database_is_empty_at_first(raw: Raw):
    assert raw.dbsize() == 0
    raw.set("left over", "by this test")


@pytest.mark.redis
def test_database_is_empty_again_in_the_next_test(raw: Raw):
    assert raw.dbsize() == 0


@pytest.mark.redis
def test_every_store_url_is_a_different_empty_server(store_raw: Raw, store_url: str):
    info = store_raw.info("server")

    assert store_raw.dbsize() == 0
    assert ("valkey_version" in info) == (info.get("server_name") == "valkey")
    assert store_raw.execute_command("DEBUG", "SLEEP", "0")
    store_raw.set(store_url, "dirt")


@pytest.mark.redis
def test_reset_sends_waiters_of_earlier_tests_away(server: Server, raw: Raw):
    with servers.connect(server.url()) as waiter:
        waiter_id = waiter.client_id()

        server.reset()

        assert waiter_id not in {int(client["id"]) for client in raw.client_list()}


@pytest.mark.redis
def test_killed_server_with_append_only_file_comes_back_with_its_data():
    with servers.running(aof=True) as server:
        with servers.connect(server.url(3)) as client:
            client.set("kept", "yes")
        server.kill9()
        assert not server.is_running

        server.start()

        with servers.connect(server.unix_url(3)) as client:
            assert client.get("kept") == b"yes"
    assert not server.directory.exists()
