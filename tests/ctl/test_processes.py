"""Orders to processes: who is meant, what is said, what is waited for."""

import threading
from collections.abc import Iterator

import pytest

from tests.ctl.conftest import Captured, Say, a_process, answer, on_a_terminal
from tests.support.servers import Raw

ONE = "app-1:71:4923bbd8fa3d"
OTHER = "app-2:72:5fd0a8f3c1aa"
ORDERS = {"quiet": b"TSTP", "resume": b"CONT", "dump": b"TTIN"}


@pytest.mark.parametrize("order", ORDERS)
def test_the_only_process_needs_no_name(say: Say, raw: Raw, capsys: Captured, order: str) -> None:
    a_process(raw, ONE)
    assert say(order) == 0
    assert raw.lrange(f"{ONE}-signals", 0, -1) == [ORDERS[order]]
    assert 0 < raw.ttl(f"{ONE}-signals") <= 60
    out = capsys.readouterr().out
    assert out.startswith(f"{ONE}: ")
    assert out.endswith("with its next heartbeat, within 10 s\n")


@pytest.mark.parametrize("part", ["app-2", "72", OTHER, "c1aa", "pp-2:7"])
def test_a_part_of_an_identity_is_enough(say: Say, raw: Raw, capsys: Captured, part: str) -> None:
    a_process(raw, ONE)
    a_process(raw, OTHER)
    assert say("quiet", part, "--json") == 0
    (told,) = answer(capsys)
    assert (told["identity"], told["done"]) == (OTHER, True)
    assert raw.exists(f"{ONE}-signals") == 0


def test_a_pid_goes_before_the_same_digits_in_a_name(say: Say, raw: Raw) -> None:
    a_process(raw, "app-72:1:4923bbd8fa3d")
    a_process(raw, OTHER)
    assert say("quiet", "72") == 0
    assert raw.lrange(f"{OTHER}-signals", 0, -1) == [b"TSTP"]


def test_all_means_every_process(say: Say, raw: Raw) -> None:
    for identity in (ONE, OTHER):
        a_process(raw, identity)
    assert say("stop", "all", "--yes") == 0
    assert [raw.lrange(f"{each}-signals", 0, -1) for each in (ONE, OTHER)] == [[b"TERM"]] * 2


@pytest.mark.parametrize(
    ("whom", "status", "complaint"),
    [
        ([], 64, "2 processes run: name one, or say all"),
        (["app"], 1, f"app may be any of {ONE}, {OTHER}: give more of it"),
        (["nosuch"], 1, "no process is called nosuch"),
        (["app-1:71:4923bbd8fa3e"], 1, f"did you mean {ONE}?"),
    ],
)
def test_in_doubt_nobody_is_told(
    say: Say, raw: Raw, capsys: Captured, whom: list[str], status: int, complaint: str
) -> None:
    a_process(raw, ONE)
    a_process(raw, OTHER)
    assert say("quiet", *whom) == status
    assert complaint in capsys.readouterr().err
    assert raw.keys("*-signals") == []


def test_that_nobody_runs_is_said(say: Say, raw: Raw, capsys: Captured) -> None:
    raw.sadd("processes", ONE)  # its heartbeat has run out
    assert say("quiet") == 1
    assert capsys.readouterr().err == ("jobctl: no process is running here: none has a heartbeat\n")


def test_who_does_not_obey_is_not_told(say: Say, raw: Raw, capsys: Captured) -> None:
    a_process(raw, ONE)
    a_process(raw, OTHER, is_jobd=False)
    assert say("resume", "all") == 1
    out, err = capsys.readouterr()
    assert out.startswith(ONE)
    assert f"{OTHER}: not told: " in err
    assert "Ruby Sidekiq" in err
    assert raw.keys("*-signals") == [f"{ONE}-signals".encode()]


def test_a_reload_that_nobody_answers_fails(say: Say, raw: Raw, capsys: Captured) -> None:
    a_process(raw, ONE)
    raw.hset(f"jobd:instance:{ONE}", "state", "running")
    assert say("reload", "--timeout", "0") == 1
    assert raw.lrange(f"{ONE}-signals", 0, -1) == [b"HUP"]
    assert "is not done after 0 s" in capsys.readouterr().err


@pytest.mark.parametrize(("said", "status", "orders"), [("y\n", 0, [b"TERM"]), ("n\n", 1, [])])
def test_a_stop_is_asked_for(
    redis_url: str, raw: Raw, tmp_path, said: str, status: int, orders: list[bytes]
) -> None:
    a_process(raw, ONE)
    assert on_a_terminal(redis_url, tmp_path, "stop", ONE, said=said)[0] == status
    assert raw.lrange(f"{ONE}-signals", 0, -1) == orders


# Waiting until it is seen


@pytest.fixture
def obedient(raw: Raw) -> Iterator[None]:
    """Plays a process that does what it is told at once."""
    a_process(raw, ONE)
    is_over = threading.Event()

    def obey() -> None:
        while not is_over.is_set():
            order = raw.blpop(f"{ONE}-signals", timeout=1)
            if order is not None and order[1] == b"TERM":
                raw.srem("processes", ONE)  # a Ruby process leaves its hash behind
            elif order is not None:
                raw.hset(ONE, "quiet", "true" if order[1] == b"TSTP" else "false")

    thread = threading.Thread(target=obey)
    thread.start()
    yield
    is_over.set()
    thread.join()


@pytest.mark.usefixtures("obedient")
def test_wait_ends_when_it_is_seen(say: Say, raw: Raw, capsys: Captured) -> None:
    for order, seen in (
        ("quiet", "is quiet"),
        ("resume", "takes jobs again"),
        ("stop", "has left"),
    ):
        flags = ("--yes",) if order == "stop" else ()
        assert say(order, ONE, "--wait", *flags) == 0
        assert capsys.readouterr().out.startswith(f"{ONE}: {seen}, after ")


def test_wait_gives_up_in_time_and_says_so(say: Say, raw: Raw, capsys: Captured) -> None:
    a_process(raw, ONE)
    assert say("quiet", ONE, "--wait", "--timeout", "0") == 1
    assert "was told, and nothing is seen of it after 0 s" in capsys.readouterr().err
