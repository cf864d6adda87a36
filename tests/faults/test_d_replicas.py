"""Faults of the server: a replica takes its place. The rest is in test_d_redis."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.faults.stage import Stage
from tests.faults.test_d_redis import children
from tests.support import servers
from tests.support.eventually import eventually
from tests.support.servers import Raw, Server

pytestmark = [pytest.mark.redis, pytest.mark.process]


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Server]]:
    """A stage on a primary, and its replica, in step."""
    at_once = ("--repl-diskless-sync-delay", "0")
    with (
        servers.running(aof=True, settings=at_once) as primary,
        servers.running(aof=True) as replica,
    ):
        stage = Stage(tmp_path_factory.mktemp("pair"), primary)
        with contextlib.closing(servers.connect(replica.unix_url())) as second:
            second.replicaof("127.0.0.1", primary.port)
            eventually(lambda: second.info("replication")["master_link_status"] == "up")
        try:
            yield stage, replica
            stage.audit()
        finally:
            stage.close()


def move(stage: Stage, replica: Server) -> None:
    """Clients, and the test's own, go to the replica from now on."""
    stage.raw.close()
    stage.server, stage.raw = replica, servers.connect(replica.unix_url())
    stage.proxy.lead_to(replica.port)
    stage.is_struck()


def hand_over(stage: Stage, raw: Raw, replica: Server) -> None:
    stage.raw.execute_command("FAILOVER")
    # The old primary refuses writes by now: what the workers meet until they are led elsewhere.
    eventually(lambda: raw.info("replication")["role"] == "master")


def be_killed(stage: Stage, raw: Raw, replica: Server) -> None:
    # In step first: with nothing between the two, no acknowledged write may be missed.
    stage.raw.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    eventually(
        lambda: (
            stage.raw.info("replication")["master_repl_offset"]
            == raw.info("replication")["master_repl_offset"]
        )
    )
    stage.server.kill9()
    raw.replicaof("NO", "ONE")


@pytest.mark.parametrize("fail", [hand_over, be_killed])
def test_D14_replica_takes_over_under_load_and_no_job_is_lost_or_doubled(
    pair: tuple[Stage, Server], fail: Callable[[Stage, Raw, Server], None]
):
    stage, replica = pair
    before = children(stage.jobd)
    held = stage.hold()
    jids = stage.push_many("Sleep", 100, 5)
    eventually(lambda: len(stage.runs()) > 10, message=stage.last_lines)

    with contextlib.closing(servers.connect(replica.unix_url())) as raw:
        fail(stage, raw, replica)
    move(stage, replica)
    stage.release()

    stage.wait_for("done", held, *jids)
    assert children(stage.jobd) == before


def test_D15_replica_that_lags_repeats_what_it_missed_and_loses_only_what_it_never_had(
    pair: tuple[Stage, Server],
):
    stage, replica = pair
    known = stage.push_many("Sleep", 40, 20, runs=2)
    assert stage.raw.wait(1, 60_000) == 1  # the replica has had them
    eventually(lambda: len(stage.runs()) > 5, message=stage.last_lines)
    with contextlib.closing(servers.connect(replica.unix_url())) as raw:
        raw.replicaof("NO", "ONE")  # from here on it hears of no push, claim or acknowledgement
    missed = stage.push_many("Sleep", 5, 20)
    eventually(lambda: len(stage.runs()) > 15, message=stage.last_lines)
    stage.server.kill9()
    move(stage, replica)

    stage.wait_for("done", *known)

    for jid in missed:
        if not stage.runs("done", jid):
            stage.may_vanish(jid)
    again = stage.push_many("Echo", 3)
    stage.wait_for("done", *again)
