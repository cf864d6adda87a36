"""A real jobd's /livez, /readyz and /metrics, in good times and bad, and under hostile visitors."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.health.conftest import Reply, get
from tests.support import servers, wire
from tests.support.eventually import PATIENCE_S, eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.process, pytest.mark.redis]


@pytest.fixture
def address() -> str:
    """Where nobody listens yet."""
    return f"127.0.0.1:{servers.free_port()}"


def becomes(address: str, path: str, status: int, text: str = "") -> Reply:
    """Ask until this is the answer."""

    def answered() -> Reply | None:
        reply = get(address, path)
        return reply if reply.status == status and text in reply.text else None

    return eventually(answered, message=lambda: str(get(address, path)))


def scrape(address: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples by name and labels, read by Prometheus' own parser."""
    families = text_string_to_metric_families(get(address, "/metrics").text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(address: str, name: str, **labels: str) -> float | None:
    return scrape(address).get((name, frozenset((k.rstrip("_"), v) for k, v in labels.items())))


@pytest.mark.measured
def test_probes_follow_the_state_of_the_instance(start_jobd: StartJobd, address: str) -> None:
    jobd = start_jobd(config={"health": address})
    assert get(address, "/livez") == Reply(200, "alive\n", "text/plain; charset=utf-8")
    becomes(address, "/readyz", 200, "ready")
    jobd.signal(signal.SIGTSTP)
    becomes(address, "/readyz", 503, "the instance is quiet")
    jobd.signal(signal.SIGCONT)
    becomes(address, "/readyz", 200)
    assert get(address, "/nothing").status == 404
    assert get(address, "/livez").status == 200
    assert jobd.stop() == 0


@pytest.mark.measured
def test_without_redis_it_lives_and_is_not_ready(start_jobd: StartJobd, address: str) -> None:
    with servers.running("valkey") as valkey:
        jobd = start_jobd(redis_url=valkey.url(), config={"health": address})
        becomes(address, "/readyz", 200)
        valkey.stop()
        becomes(address, "/readyz", 503, "Redis does not answer for ")
        assert get(address, "/livez").status == 200
        eventually(lambda: value(address, "jobd_redis_up") == 0)
        valkey.start()
        becomes(address, "/readyz", 200)
        assert jobd.stop() == 0


def test_a_redis_that_hangs_delays_no_answer(start_jobd: StartJobd, address: str) -> None:
    with servers.running("valkey") as valkey:
        jobd = start_jobd(redis_url=valkey.url(), config={"health": address})
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            # As long as the poller hangs in a call, which it does for five seconds.
            becomes(address, "/readyz", 503, "Redis does not answer")
            assert get(address, "/livez", timeout=2).status == 200
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
        assert jobd.stop() == 0


@pytest.mark.measured
def test_the_metrics_tell_of_jobs_queues_workers_and_redis(
    start_jobd: StartJobd, raw: Raw, address: str
) -> None:
    jobd = start_jobd(config={"health": address, "queues": ["default", "low"], "concurrency": 2})
    for number in range(3):
        wire.push(raw, "Echo", number)
    wire.push(raw, "Echo", 4, queue="low")
    wire.push(raw, "Fail", "no", retry=False)
    wire.push(raw, "Echo", queue="nobody-serves")
    echo = {"class_": "Echo", "queue": "default"}
    eventually(lambda: value(address, "jobd_jobs_total", **echo, result="done") == 3)
    low = {"class_": "Echo", "queue": "low", "result": "done"}
    eventually(lambda: value(address, "jobd_jobs_total", **low) == 1)
    boom = {"class_": "Fail", "queue": "default", "result": "failed"}
    eventually(lambda: value(address, "jobd_jobs_total", **boom) == 1, message=jobd.log)
    eventually(lambda: value(address, "jobd_job_duration_seconds_count", **echo) == 3)
    assert value(address, "jobd_job_duration_seconds_bucket", **echo, le="+Inf") == 3
    eventually(lambda: value(address, "jobd_queue_size", queue="nobody-serves") == 1)
    eventually(lambda: value(address, "jobd_queue_latency_seconds", queue="nobody-serves"))
    eventually(lambda: value(address, "jobd_set_size", set="dead") == 0)
    eventually(lambda: value(address, "jobd_workers", state="idle") == 2)
    assert value(address, "jobd_redis_up") == 1
    eventually(lambda: (value(address, "jobd_redis_round_trip_seconds") or 0) > 0)
    assert (value(address, "jobd_resident_memory_bytes", process="poller") or 0) > 1e6


def test_a_worker_that_was_killed_is_counted_by_how_it_ended(
    start_jobd: StartJobd, address: str
) -> None:
    jobd = start_jobd(config={"health": address})
    first = jobd.worker()
    os.kill(first.pid, signal.SIGKILL)
    eventually(lambda: value(address, "jobd_restarts_total", reason="SIGKILL") == 1)
    assert jobd.worker().pid != first.pid


def test_a_poller_that_is_replaced_refuses_no_visitor(start_jobd: StartJobd, address: str) -> None:
    jobd = start_jobd(config={"health": address})
    for _ in range(2):
        os.kill(jobd.poller().pid, signal.SIGKILL)
        assert get(address, "/livez", timeout=PATIENCE_S).status == 200


def test_nobody_listens_any_more_when_the_master_was_killed(
    start_jobd: StartJobd, raw: Raw, address: str
) -> None:
    jobd = start_jobd(config={"health": address, "timeout": 30})
    wire.push(raw, "Hold", "long")
    eventually(lambda: jobd.ran("start"))
    poller = jobd.poller().pid
    jobd.kill9()
    os.kill(poller, signal.SIGKILL)  # what is left is a worker with a job
    eventually(lambda: is_refused(address))
    jobd.release("long")


def is_refused(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return True
    return False


def test_an_address_that_is_taken_ends_the_start_with_73(
    start_jobd: StartJobd, address: str
) -> None:
    start_jobd(config={"health": address})
    second = start_jobd(config={"health": address}, ready=False)
    assert second.wait() == os.EX_CANTCREAT
    assert f"health {address}: Address already in use; another jobd may have it" in second.log()


@pytest.fixture
def storm(address: str) -> Iterator[threading.Event]:
    """While set: silent, half-sent, huge and broken requests as fast as they can be made."""
    blows, is_over = threading.Event(), threading.Event()

    def blow() -> None:
        host, _, port = address.partition(":")
        requests = (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\n\r\n", b"x" * 60_000)
        held: list[socket.socket] = []
        while not is_over.is_set():
            blows.wait(0.1)
            for request in requests if blows.is_set() else ():
                with contextlib.suppress(OSError):
                    visitor = socket.create_connection((host, int(port)), timeout=1)
                    held.append(visitor)
                    visitor.sendall(request)
            if len(held) > 250:
                held.pop(0).close()
        for visitor in held:
            visitor.close()

    threads = [threading.Thread(target=blow) for _ in range(4)]
    for thread in threads:
        thread.start()
    yield blows
    is_over.set()
    blows.set()
    for thread in threads:
        thread.join()


def test_a_storm_of_visitors_stalls_neither_beat_nor_promotion(
    start_jobd: StartJobd, raw: Raw, address: str, storm: threading.Event
) -> None:
    jobd = start_jobd(config={"health": address})
    poller = jobd.poller().pid
    storm.set()
    for number in range(5):
        wire.schedule(raw, 0, "Echo", number)
        eventually(lambda n=number: [n] in [run["args"] for run in jobd.ran()], message=jobd.log)
    before = beat(raw)
    wire.have_them_beat(raw)
    eventually(lambda: beat(raw) > before)
    becomes(address, "/livez", 200)
    storm.clear()
    assert jobd.poller().pid == poller
    assert "failed" not in jobd.log()


def beat(raw: Raw) -> float:
    (identity,) = raw.smembers("processes")
    return float(raw.hget(identity, "beat") or 0)
