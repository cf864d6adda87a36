"""What systemd hears, on a socket of our own."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd.supervisor.sd_notify import Notifier
from tests.support.clock import FakeClock


@pytest.fixture(params=["path", "abstract"])
def ear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The address as systemd writes it, and the socket there."""
    is_path = request.param == "path"
    address = str(tmp_path / "notify") if is_path else f"@jobd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address if is_path else "\0" + address[1:])
        listener.settimeout(0)
        yield address, listener


def test_assignments_come_in_one_datagram(
    ear: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    address, listener = ear
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notifier = Notifier(clock)
    notifier.open()
    notifier.send("READY=1", "STATUS=ready 1/1")
    assert listener.recv(4096) == b"READY=1\nSTATUS=ready 1/1"


def test_the_watchdog_is_fed_at_a_quarter_of_its_time(
    ear: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    address, listener = ear
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    notifier = Notifier(clock)
    notifier.open()
    notifier.ping()
    assert listener.recv(4096) == b"WATCHDOG=1"
    assert notifier.next_ping() == clock.monotonic() + 5
    notifier.ping()
    with pytest.raises(BlockingIOError):
        listener.recv(4096)
    clock.advance(5)
    notifier.ping()
    assert listener.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(("name", "value"), [("WATCHDOG_PID", "1"), ("WATCHDOG_USEC", "soon")])
def test_a_watchdog_that_is_not_ours_is_not_fed(
    ear: tuple[str, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    clock: FakeClock,
    name: str,
    value: str,
) -> None:
    address, listener = ear
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.setenv(name, value)
    notifier = Notifier(clock)
    notifier.open()
    notifier.ping()
    assert notifier.next_ping() is None
    with pytest.raises(BlockingIOError):
        listener.recv(4096)


def test_no_child_inherits_the_address(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.setenv(name, "1")
    Notifier(clock).open()
    environment = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    assert "NOTIFY_SOCKET" not in environment
    assert "WATCHDOG_" not in environment


def test_nobody_listening_is_no_error(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = Notifier(clock)
    notifier.open()
    notifier.send("READY=1")
    notifier.ping()
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    notifier.open()
    notifier.send("READY=1")


def test_a_systemd_that_does_not_read_is_not_waited_for(
    ear: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", ear[0])
    notifier = Notifier(clock)
    notifier.open()
    for _ in range(2000):  # far more than net.unix.max_dgram_qlen
        notifier.send("STATUS=" + "x" * 1000)
