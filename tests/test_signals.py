"""Signals as values: collected, coalesced, held back, and put into words."""

import select
import signal
from collections.abc import Iterator

import pytest

from jobd import signals
from jobd.signals import SignalInbox

USED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


@pytest.fixture
def inbox() -> Iterator[SignalInbox]:
    box = SignalInbox(USED)
    box.open()
    yield box
    box.close()


def send(*numbers: int) -> None:
    for number in numbers:
        signal.raise_signal(
            number
        )  # to this thread; other tests may have left some that block none


def test_signals_are_collected_once_each_and_taken_once(inbox: SignalInbox) -> None:
    send(signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1)
    assert inbox.take() == {signal.SIGUSR1, signal.SIGUSR2}
    assert inbox.take() == set()


def test_the_inbox_wakes_a_loop_until_it_is_taken(inbox: SignalInbox) -> None:
    assert select.select([inbox], [], [], 0)[0] == []
    send(signal.SIGUSR1)
    assert select.select([inbox], [], [], 10)[0] == [inbox]
    inbox.take()
    assert select.select([inbox], [], [], 0)[0] == []


def test_what_a_job_has_blocked_arrives_again(inbox: SignalInbox) -> None:
    signals.set_mask(USED)
    send(signal.SIGUSR1)
    assert inbox.take() == set()
    inbox.reclaim_wakeup()
    assert inbox.take() == {signal.SIGUSR1}


def test_a_flood_is_no_more_than_one(inbox: SignalInbox) -> None:
    for _ in range(20_000):
        send(signal.SIGUSR1)
    send(signal.SIGUSR2)
    assert inbox.take() == {signal.SIGUSR1, signal.SIGUSR2}
    assert select.select([inbox], [], [], 0)[0] == []


def test_on_arrival_runs_in_the_handler_and_may_raise() -> None:
    def stop(number: int) -> None:
        raise InterruptedError(number)

    box = SignalInbox([signal.SIGUSR1], on_arrival=stop)
    box.open()
    with pytest.raises(InterruptedError):
        send(signal.SIGUSR1)
    assert box.take() == {signal.SIGUSR1}
    box.close()


def test_blocked_signals_arrive_afterwards(inbox: SignalInbox) -> None:
    with signals.blocked([signal.SIGUSR1]) as before:
        assert signal.SIGUSR1 not in before
        assert signal.SIGUSR1 in signals.current_mask()
        # To this thread: the runner has others, which do not block it.
        signal.raise_signal(signal.SIGUSR1)
        assert inbox.take() == set()
    assert inbox.take() == {signal.SIGUSR1}
    assert signal.SIGUSR1 not in signals.current_mask()


def test_an_alarm_comes_once_and_can_be_taken_back(inbox: SignalInbox) -> None:
    signals.alarm(0.01)
    assert select.select([inbox], [], [], 10)[0]
    assert inbox.take() == {signal.SIGALRM}
    signals.alarm(60)
    signals.alarm(0)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_closed_inbox_leaves_the_default_actions() -> None:
    box = SignalInbox([signal.SIGUSR1])
    box.open()
    box.close()
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


def test_what_is_ignored_does_not_arrive_and_can_be_reset() -> None:
    signals.ignore([signal.SIGUSR1])
    send(signal.SIGUSR1)
    signals.reset_to_default([signal.SIGUSR1])
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exit 0"),
        (3 << 8, "exit 3"),
        (78 << 8, "exit 78"),
        (signal.SIGKILL, "SIGKILL"),
        (signal.SIGSEGV | 0x80, "SIGSEGV (core dumped)"),
        (signal.SIGRTMIN + 3, f"signal {signal.SIGRTMIN + 3}"),
    ],
)
def test_a_wait_status_in_words(status: int, words: str) -> None:
    assert signals.describe_exit(status) == words
