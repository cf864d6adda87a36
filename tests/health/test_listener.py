"""The HTTP server against visitors who are slow, silent, greedy or many."""

import contextlib
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.clock import SystemClock
from jobd.health import listener
from jobd.health.listener import MOST_VISITORS, Answer, CannotListen, Listener
from tests.health.conftest import exchange, get
from tests.support.clock import FakeClock
from tests.support.eventually import eventually

LARGE = "x" * 5_000_000


def answer(path: str) -> Answer:
    if path == "/broken":
        raise ValueError(path)
    return Answer("200 OK", LARGE if path == "/large" else f"page {path}\n")


@pytest.fixture
def served(address: str) -> Iterator[str]:
    """An address at which it is served."""
    with serving(address):
        yield address


@contextlib.contextmanager
def serving(address: str) -> Iterator[None]:
    """As `Listener.start` does, but with an end."""
    with listener.listen(address) as where:
        server = Listener(where, answer, tick=lambda: None, clock=SystemClock())
        server.open()
        is_over = threading.Event()

        def serve() -> None:
            while not is_over.is_set() or server.visitors:
                server.step(0.01)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        is_over.set()
        thread.join()


def visit(address: str) -> socket.socket:
    host, _, port = address.partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def test_a_page_is_served_and_the_connection_closed(served: str) -> None:
    with visit(served) as visitor:
        reply = exchange(visitor, b"GET /livez?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 12" in head
    assert b"Connection: close" in head
    assert body == b"page /livez\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"HEAD /x HTTP/1.1\r\n\r\n", b"200 OK"),
        (b"GET /x HTTP/1.0\n\n", b"200 OK"),
        (b"POST /x HTTP/1.1\r\n\r\n", b"405 Method Not Allowed"),
        (b"GET /x\r\n\r\n", b"400 Bad Request"),
        (b"\r\n\r\n", b"400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400 Bad Request"),
        (b"GET /" + b"x" * 9_000, b"431 Request Header Fields Too Large"),
    ],
)
def test_what_is_asked_in_other_ways_is_answered_too(
    served: str, request_: bytes, status: bytes
) -> None:
    with visit(served) as visitor:
        reply = exchange(visitor, request_)
    assert reply.startswith(b"HTTP/1.1 " + status)
    assert (b"page" in reply) is (request_ == b"GET /x HTTP/1.0\n\n")


def test_a_large_answer_arrives_whole_at_a_slow_reader(served: str) -> None:
    with visit(served) as slow:
        slow.sendall(b"GET /large HTTP/1.1\r\n\r\n")
        assert get(served, "/livez").text == "page /livez\n"
        assert exchange(slow, b"").endswith(LARGE.encode())


def test_a_visitor_who_is_gone_or_whose_page_fails_costs_nobody_else(
    served: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with visit(served) as reset:
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset.sendall(b"GET /large HTTP/1.1\r\n\r\n")
    with visit(served) as failing:
        failing.sendall(b"GET /broken HTTP/1.1\r\n\r\n")
        assert get(served, "/livez").status == 200
        assert failing.recv(100).startswith(b"HTTP/1.1 500")
    assert "ValueError" in capfd.readouterr().out


def test_thousands_who_say_nothing_do_not_keep_a_probe_waiting(served: str) -> None:
    with contextlib.ExitStack() as crowd:
        for _ in range(1_000):
            crowd.enter_context(visit(served)).sendall(b"GET /livez HT")
        assert get(served, "/livez").text == "page /livez\n"


def test_who_says_nothing_for_five_seconds_is_sent_away(address: str, clock: FakeClock) -> None:
    with listener.listen(address) as where:
        server = Listener(where, answer, tick=lambda: None, clock=clock)
        server.open()
        with visit(address) as visitor:
            visitor.sendall(b"G")
            visitor.settimeout(0)
            eventually(lambda: server.step(0) or server.visitors == 1)
            clock.advance(4.9)
            server.step(0)
            with pytest.raises(BlockingIOError):
                visitor.recv(1)
            clock.advance(0.2)
            server.step(0)
            assert visitor.recv(1) == b""
        assert server.visitors == 0


def test_never_more_than_some_are_held_and_the_oldest_goes(address: str, clock: FakeClock) -> None:
    with listener.listen(address) as where:
        server = Listener(where, answer, tick=lambda: None, clock=clock)
        server.open()
        with contextlib.ExitStack() as crowd:
            first = crowd.enter_context(visit(address))
            for _ in range(MOST_VISITORS):
                crowd.enter_context(visit(address))
            eventually(lambda: server.step(0) or is_closed(first))
            assert server.visitors == MOST_VISITORS
        eventually(lambda: server.step(0) or server.visitors == 0)


def is_closed(visitor: socket.socket) -> bool:
    visitor.settimeout(0)
    try:
        return visitor.recv(1) == b""
    except BlockingIOError:
        return False


def test_a_unix_socket_is_for_its_group_and_a_dead_one_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "health"
    listener.listen(str(path)).close()
    with serving(str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.connect(str(path))
            assert exchange(visitor, b"GET /livez HTTP/1.1\r\n\r\n").endswith(b"page /livez\n")
        with pytest.raises(CannotListen, match=r"Address already in use; another jobd"):
            listener.listen(str(path))
        listener.remove(str(path))
        assert not path.exists()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("precious")
    with pytest.raises(CannotListen):
        listener.listen(str(path))
    assert path.read_text() == "precious"


def test_an_address_that_is_taken_or_not_ours_is_named(address: str) -> None:
    with listener.listen(address), pytest.raises(CannotListen, match=f"health {address}: "):
        listener.listen(address)
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1"):
        listener.listen("192.0.2.1:7433")
