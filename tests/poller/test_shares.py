"""Memory with shared pages split, looked at no more often than it may be."""

import os

from jobd.poller.shares import Shares
from tests.support.clock import FakeClock


def test_a_process_is_looked_at_once_a_minute():
    clock = FakeClock()
    shares = Shares(clock)
    first = shares.look([os.getpid()])
    ballast = bytearray(os.urandom(1024)) * 32_768
    clock.advance(59)
    assert shares.look([os.getpid()]) == first
    clock.advance(1)
    assert shares.look([os.getpid()])[os.getpid()] > first[os.getpid()] + 10_000
    assert len(ballast) == 32 * 2**20


def test_few_are_looked_at_at_once_and_each_has_its_turn():
    clock = FakeClock()
    shares = Shares(clock)
    pids = range(1, 41)
    looked = []
    for _ in range(4):
        looked.append(len(shares.look(pids)))
        clock.advance(10)
    assert looked == [16, 32, 40, 40]


def test_a_process_that_has_left_is_forgotten_and_one_that_never_was_has_nothing():
    shares = Shares(FakeClock())
    assert set(shares.look([os.getpid()])) == {os.getpid()}
    assert shares.look([2**22 + 1]) == {2**22 + 1: 0}
