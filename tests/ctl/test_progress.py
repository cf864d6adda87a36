"""What is told while something takes long, and that it can be ended in the middle."""

import io
import itertools
import re
import signal
import subprocess
from pathlib import Path

import pytest

from jobd.api import Access, Filter, Queue, Tally
from jobd.config import RedisSettings
from jobd.ctl.progress import Progress
from jobd.pool import Pool
from tests.ctl.conftest import COMMAND, environment
from tests.support import wire
from tests.support.clock import FakeClock
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.servers import Raw

COUNT = 10_000


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def told(stream: io.StringIO, clock: FakeClock, *, is_silent: bool = False) -> str:
    """What is told of a minute in which 60,000 jobs are looked at, 1,000 at a time."""
    with Progress(
        "retrying", "retried", 60_000, is_silent=is_silent, stream=stream, clock=clock
    ) as progress:
        for step in range(1, 61):
            clock.advance(1)
            progress(1_000 * step, 10 * step)
    return stream.getvalue()


def test_elsewhere_than_on_a_terminal_a_line_is_told_every_few_seconds(clock: FakeClock) -> None:
    lines = told(io.StringIO(), clock).splitlines()
    assert lines[0] == "retrying: 3,000 of 60,000 jobs looked at, 30 retried, 3.0 s"
    assert len(lines) == 20


def test_on_a_terminal_one_line_is_drawn_again_and_wiped_at_the_end(clock: FakeClock) -> None:
    text = told(Terminal(), clock)
    *drawn, wiped, rest = text.split("\r")[1:]
    assert len(drawn) == 60
    assert drawn[-1].rstrip() == "retrying: 60,000 of 60,000 jobs looked at, 600 retried, 60.0 s"
    assert wiped == " " * len(drawn[-1].rstrip())
    assert rest == ""
    assert "\n" not in text


def test_nothing_is_told_to_programs_or_of_what_is_short(clock: FakeClock) -> None:
    assert told(io.StringIO(), clock, is_silent=True) == ""
    stream = Terminal()
    with Progress("retrying", "retried", 5, stream=stream, clock=clock) as progress:
        progress(5, 5)
    assert stream.getvalue() == ""


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_what_is_ended_in_the_middle_is_whole_and_can_be_run_again(
    proxy: Proxy, raw: Raw, tmp_path: Path, number: signal.Signals
) -> None:
    jobs = {wire.encode(wire.a_payload("Echo", n)): n for n in range(COUNT)}
    raw.zadd("retry", jobs)
    command = [*COMMAND, "retry", "--all", "--match", "Echo"]

    def start() -> subprocess.Popen[str]:
        env = environment(proxy.url())
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            env=env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    proxy.latency_s = 0.02  # fifty pages last long enough to come in between
    first = start()
    eventually(lambda: raw.llen("queue:default") > 0)
    first.send_signal(number)
    _, err = first.communicate(timeout=60)
    done = raw.llen("queue:default")
    assert 0 < done < COUNT
    assert done + raw.zcard("retry") == COUNT
    if number == signal.SIGINT:
        assert first.returncode == 130
        # What was under way may have been done.
        found = re.search(r"retried at least ([\d,]+) jobs?; run it again to go on", err)
        assert found
        assert int(found[1].replace(",", "")) <= done
    proxy.latency_s = 0
    second = start()
    out, _ = second.communicate(timeout=60)
    assert out == f"retried {COUNT - done:,} jobs of retry with --match Echo\n"
    assert sorted(job["args"][0] for job in wire.queued(raw)) == [*range(COUNT)]


def test_the_deletion_from_a_queue_tells_how_far_it_is(redis_url: str, raw: Raw) -> None:
    for number in range(1_500):
        raw.lpush("queue:default", wire.encode(wire.a_payload("Echo" if number % 3 else "Sweep")))
    told: list[Tally] = []
    access = Access(redis=Pool(RedisSettings(url=redis_url)))
    queue = Queue("default", access=access)
    assert queue.delete(Filter(class_name="Sweep"), progress=told.append) == 500
    assert len(told) > 2
    assert all(before.seen <= after.seen for before, after in itertools.pairwise(told))
    assert (told[-1].total, told[-1].seen, told[-1].done) == (1_500, 1_500, 500)
