"""Both ends of the pipe in one process: what one says is what the other hears."""

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from jobd.supervisor import child as pipe
from jobd.supervisor.child import Child, Handle
from jobd.supervisor.deaths import Deaths
from jobd.supervisor.messages import BootFailed, Ended, Ready, Recovered, Remote


@pytest.fixture
def ends() -> Iterator[tuple[Handle, Child, socket.socket]]:
    """The master's end, the child's (whose master is our parent), and the socket below it."""
    ours, theirs = pipe.pair()
    handle = Handle(ours, slot=2, incarnation=7, spawned_at=1.0)
    child = Child(theirs, slot=2, incarnation=7, identity="host:1:abc", master=os.getppid())
    yield handle, child, theirs
    handle.close()
    child.close()


Ends = tuple[Handle, Child, socket.socket]


def test_the_master_hears_what_the_child_says_in_order(ends: Ends) -> None:
    handle, child, _ = ends
    child.boot_failed("transient", "no database")
    child.ready()
    child.send({"type": "remote", "signal": "TSTP"})
    child.send({"type": "recovered", "slot": 1, "incarnation": 3, "thread": 2})
    assert handle.receive() == [
        BootFailed("transient", "no database"),
        Ready(2, 7, os.getpid()),
        Remote(signal.SIGTSTP),
        Recovered(1, 3, 2),
    ]
    assert handle.receive() == []
    assert child.is_ready


@pytest.mark.parametrize(
    "packet",
    [
        b"\xff\x00",
        b"[" * 60_000,
        b"7",
        b'{"type": "ready"}',
        b'{"type": "ready", "slot": "2", "incarnation": 7, "pid": 1}',
        b'{"type": "boot_failed", "kind": "never", "text": ""}',
        b'{"type": "remote", "signal": "KILL"}',
        b'{"type": "remote", "signal": 9}',
    ],
)
def test_the_master_leaves_out_what_a_job_has_scribbled(ends: Ends, packet: bytes) -> None:
    handle, child, theirs = ends
    theirs.send(packet)
    child.ready()
    assert handle.receive() == [Ready(2, 7, os.getpid())]


def test_a_long_stack_loses_its_beginning(ends: Ends) -> None:
    handle, child, _ = ends
    child.boot_failed("config", "\x00" * 100_000 + "the end")
    (message,) = handle.receive()
    assert isinstance(message, BootFailed)
    assert message.text.endswith("the end")


def test_messages_wait_in_the_master_while_the_child_does_not_read(ends: Ends) -> None:
    handle, child, _ = ends
    deaths = Deaths()
    for incarnation in range(2000):
        handle.incarnation = incarnation
        for died in deaths.add(handle, 9, {0: None}):
            handle.send(died)
    heard: list[int] = []
    while received := child.receive():
        heard += [died["incarnation"] for died in received]
        handle.flush()
    assert heard == list(range(2000))


def test_a_child_is_cut_when_the_master_s_end_is_closed(ends: Ends) -> None:
    handle, child, _ = ends
    assert not child.is_cut()
    handle.send({"type": "died"})
    assert not child.is_cut()
    child.send({"type": "never read"})
    handle.close()
    assert child.receive()
    assert child.is_cut()
    assert child.receive() == []


def test_a_child_is_cut_when_its_parent_is_another_process(ends: Ends) -> None:
    _, _, theirs = ends
    orphan = Child(theirs, slot=1, incarnation=1, identity="", master=1 << 30)
    assert orphan.is_cut()


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_child_whose_socket_a_job_closed_looks_at_its_parent_and_touches_no_other_fd(
    ends: Ends, is_taken: bool
) -> None:
    _, child, _ = ends
    fd = child.fileno()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        kept = os.dup(fd)
        if is_taken:
            os.dup2(theirs.fileno(), fd)
        else:
            os.close(fd)
        assert not child.is_cut()
        child.ready()
        assert child.receive() == []
        ours.settimeout(0)
        with pytest.raises(BlockingIOError):
            ours.recv(1)
        os.dup2(kept, fd)
        os.close(kept)


def test_the_end_is_told_once(ends: Ends) -> None:
    handle, child, _ = ends
    child.ready()
    child.close()
    assert handle.receive() == [Ready(2, 7, os.getpid()), Ended()]
    assert not handle.is_open
    handle.send({"type": "died"})


def test_deaths_are_kept_until_they_are_recovered_but_not_without_end(ends: Ends) -> None:
    handle, _, _ = ends
    deaths = Deaths()
    for incarnation in range(10_005):
        handle.incarnation = incarnation
        deaths.add(handle, 3 << 8, {0: None})
    assert len(list(deaths)) == 10_000
    deaths.forget(Recovered(2, 10_004, 0))
    deaths.forget(Recovered(2, 10_004, 0))
    told = list(deaths)
    assert (told[0]["incarnation"], told[-1]["incarnation"]) == (5, 10_003)
    assert told[0] == {
        "type": "died",
        "slot": 2,
        "incarnation": 5,
        "thread": 0,
        "status": 768,
        "reason": "exit 3",
        "running": "",
        "jid": "",
        "finished": [],
        "time_limit": 0.0,
        "max_memory": 0,
    }
