"""What a real jobd tells systemd, on a socket of the test's own: a whole life, and its troubles.

A real systemd reads the same in ``tests/test_systemd.py``, where one can be booted.
"""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import servers, wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.process, pytest.mark.redis]

ROOT = Path(__file__).parents[2]


def heard(jobd: JobdProcess) -> str:
    """Everything, one datagram a line."""
    return "\n".join(message.text.replace("\n", " | ") for message in jobd.notify.messages())


def recorded() -> list[str]:
    """The whole life that the manual shows."""
    page = (ROOT / "docs" / "systemd.md").read_text()
    lines = next(block.splitlines() for block in page.split("```")[1:] if "EXTEND" in block)
    # When a ping comes is a matter of half seconds, and so is when more time is asked for.
    return [
        line for line in lines[1:] if line not in {"WATCHDOG=1", "EXTEND_TIMEOUT_USEC=15000000"}
    ]


def comes_later(told: Iterator[str], line: str) -> bool:
    """Go on to a line like this; only its seconds may be others."""
    pattern = re.sub(r"(?<=USEC=)[0-9]{9,}|[0-9](?=\\ s\\ left)", "[0-9]+", re.escape(line))
    return any(re.fullmatch(pattern, each) for each in told)


def hears(jobd: JobdProcess, pattern: str) -> None:
    """Wait until a datagram is like this, and forget all there was."""
    sought = re.compile(f"^{pattern}", re.MULTILINE)
    eventually(lambda: sought.search(heard(jobd)), message=lambda: heard(jobd))
    jobd.notify.forget()


def test_a_whole_life_is_told_step_by_step_by_the_master_alone(start_jobd: StartJobd) -> None:
    jobd = start_jobd(ready=False, env={"WATCHDOG_USEC": "2000000"})
    eventually(lambda: jobd.notify.saw("READY=1"), message=jobd.log)
    senders = {message.pid for message in jobd.notify.messages()}
    assert senders == {jobd.pid}
    first, *_ = jobd.notify.messages()
    assert first.text == "STATUS=booting 0/1, 0 jobs running"
    assert jobd.notify.saw("EXTEND_TIMEOUT_USEC=15000000")
    hears(jobd, r"READY=1 \| WATCHDOG=1 \| STATUS=ready 1/1, 0 jobs running$")
    hears(jobd, "WATCHDOG=1$")
    jobd.signal(signal.SIGTSTP)
    hears(jobd, "STATUS=quiet, 0 jobs running$")
    jobd.signal(signal.SIGCONT)
    hears(jobd, "STATUS=ready 1/1, 0 jobs running$")
    assert jobd.stop() == 0
    hears(
        jobd, r"STOPPING=1 \| EXTEND_TIMEOUT_USEC=15000000 \| STATUS=draining 0 jobs, \d+ s left$"
    )


def test_the_life_that_the_manual_shows_is_told_in_that_order(
    start_jobd: StartJobd, raw: Raw
) -> None:
    jobd = start_jobd(ready=False, env={"WATCHDOG_USEC": "2000000"})
    eventually(lambda: jobd.notify.saw("READY=1"), message=jobd.log)
    jobd.signal(signal.SIGHUP)
    jobd.wait_for_log("the new generation is in force")
    # Pings may follow it before it is looked at.
    is_over = re.compile("RELOADING.*^STATUS=ready 1/1, 0 jobs running$", re.DOTALL | re.MULTILINE)
    eventually(lambda: is_over.search(heard(jobd)), message=lambda: heard(jobd))
    for number, then in ((signal.SIGTSTP, "quiet, 0"), (signal.SIGCONT, "ready 1/1, 0")):
        before = heard(jobd).count(then)
        jobd.signal(number)
        eventually(lambda b=before, t=then: heard(jobd).count(t) > b, message=lambda: heard(jobd))
    wire.push(raw, "Hold", "long")
    eventually(lambda: "STATUS=ready 1/1, 1 job running" in heard(jobd))
    jobd.signal(signal.SIGTERM)
    eventually(lambda: re.search("STATUS=draining 1 job, [1-4] s left", heard(jobd)))
    jobd.release("long")
    assert jobd.wait() == 0

    def missed() -> list[str]:
        told = iter(heard(jobd).splitlines())
        return [line for line in recorded() if not comes_later(told, line)]

    eventually(lambda: not missed(), message=lambda: f"{missed()} of\n{heard(jobd)}")


def test_a_reload_that_is_refused_is_ready_again_and_says_so(start_jobd: StartJobd) -> None:
    jobd = start_jobd()
    (jobd.directory / "jobd.yml").write_text("concurency: 1\n")
    jobd.signal(signal.SIGHUP)
    eventually(lambda: "reload refused" in heard(jobd), message=lambda: heard(jobd))
    begun = next(m.fields for m in jobd.notify.messages() if "RELOADING" in m.fields)
    assert begun["RELOADING"] == "1"
    assert int(begun["MONOTONIC_USEC"]) > 0  # without it Type=notify-reload would wait on
    order = re.findall(r"RELOADING=1|READY=1(?! \|)|STATUS=ready 1/1, .*refused", heard(jobd))
    assert [each.partition("=")[0] for each in order] == ["RELOADING", "READY", "STATUS"]


def test_a_long_drain_asks_for_time_again_and_again(start_jobd: StartJobd, raw: Raw) -> None:
    jobd = start_jobd(config={"timeout": 30})
    wire.push(raw, "Hold", "long")
    eventually(lambda: jobd.ran("start"), message=jobd.log)
    jobd.notify.forget()
    jobd.signal(signal.SIGTERM)
    count = "EXTEND_TIMEOUT_USEC=15000000"
    eventually(lambda: heard(jobd).count(count) >= 2, message=lambda: heard(jobd))
    assert re.search("STATUS=draining 1 job, 2[0-9] s left", heard(jobd))
    jobd.release("long")
    assert jobd.wait() == 0


def test_an_outage_of_redis_is_told_and_its_end(start_jobd: StartJobd) -> None:
    with servers.running("valkey") as valkey:
        jobd = start_jobd(redis_url=valkey.url())
        valkey.stop()
        hears(jobd, "STATUS=degraded: ready 1/1, .*; Redis does not answer for [0-9]+ s$")
        valkey.start()
        hears(jobd, "STATUS=ready 1/1, 0 jobs running$")
        assert jobd.stop() == 0


@pytest.mark.parametrize(
    ("jobs", "config", "status", "why", "errno"),
    [
        ("import nowhere", {}, 78, "the application cannot be loaded; the log has the reason", 22),
        ("", {"pidfile": "/dev/null"}, 73, "pid file /dev/null: .*", 17),
    ],
)
def test_why_it_leaves_is_the_last_that_systemd_hears(
    start_jobd: StartJobd, jobs: str, config: dict[str, object], status: int, why: str, errno: int
) -> None:
    jobd = start_jobd(ready=False, jobs=jobs, config=config)
    assert jobd.wait() == status
    eventually(lambda: jobd.notify.saw(f"ERRNO={errno}"), message=lambda: heard(jobd))
    assert re.fullmatch(f"STATUS={why}\nERRNO={errno}", jobd.notify.messages()[-1].text)


def test_jobs_cannot_speak_to_systemd(start_jobd: StartJobd, raw: Raw) -> None:
    jobd = start_jobd(
        jobs="from jobd import Job\nimport os\nclass Look(Job):\n"
        "    def perform(self):\n        print('sees', os.environ.get('NOTIFY_SOCKET'))\n"
    )
    wire.push(raw, "Look")
    jobd.wait_for_log("sees None")
