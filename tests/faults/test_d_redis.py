"""D: Redis stops, stalls, lies or is replaced. The server waits, loses nothing and goes on."""

import contextlib
import re
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from redis.exceptions import RedisError, ResponseError

from tests.faults import times
from tests.faults.conftest import StartRigged
from tests.faults.stage import PATIENCE_S, Stage
from tests.server.load import push_what_is_accepted
from tests.support import servers, wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess
from tests.support.proxy import Proxy
from tests.support.servers import Server

pytestmark = [pytest.mark.redis, pytest.mark.process]


def children(jobd: JobdProcess) -> set[int]:
    return {child.pid for child in jobd.children()}


# Servers that go away

KEEPING = {
    "valkey, always": ("valkey", "always"),
    "valkey, everysec": ("valkey", "everysec"),
    "redis, always": ("redis", "always"),
    "redis, everysec": ("redis", "everysec"),
}


@pytest.fixture
def durable(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A stage of one's own, on a server that keeps an append-only file as the parameter says."""
    kind, fsync = KEEPING[request.param]
    with servers.running(kind, aof=True, settings=("--appendfsync", fsync)) as server:
        stage = Stage(tmp_path_factory.mktemp("durable"), server)
        try:
            yield stage
            stage.audit()
        finally:
            stage.close()


def crash(server: Server) -> None:
    server.kill9()
    server.start()


@pytest.mark.parametrize("durable", KEEPING, indirect=True)
@pytest.mark.parametrize("interrupt", [Server.restart, crash])
def test_D1_D2_restart_or_kill_of_redis_under_load_loses_and_doubles_nothing(
    durable: Stage, interrupt: Callable[[Server], None]
):
    """A kill -9 of the server, not of the machine: what it acknowledged was written by then."""
    before = children(durable.jobd)
    held = durable.hold()
    for _ in range(2):
        for jid in push_what_is_accepted(durable.raw, "Echo", 100):
            durable.expect(jid)
        eventually(durable.runs, message=durable.last_lines)
        interrupt(durable.server)
        durable.is_struck()
    durable.release()

    durable.wait_for("done")

    assert held in {run["jid"] for run in durable.runs()}
    assert children(durable.jobd) == before
    assert durable.jobd.stop() == 0
    assert not durable.raw.exists("retry", "dead")


def told(stage: Stage, since: int, pattern: str) -> int:
    """How often the log has said so since it had that length."""
    return len(re.findall(pattern, stage.jobd.log()[since:]))


@pytest.mark.parametrize("vanish", [Proxy.refuse, Proxy.blackhole, Proxy.pause, Proxy.reset])
def test_D3_job_that_ends_while_redis_cannot_be_reached_is_settled_when_it_can(
    stage: Stage, vanish: Callable[[Proxy], None]
):
    before = children(stage.jobd)
    lines = len(stage.jobd.log())
    held = stage.hold()
    vanish(stage.proxy)
    later = stage.push_many("Echo", 5)
    stage.release()
    stage.wait_for("done", held)
    if vanish is not Proxy.reset:
        stage.jobd.wait_for_log("cannot use Redis")

    stage.heal()

    stage.wait_for("done", *later)
    assert children(stage.jobd) == before
    # Told once when it is lost and once when it is back, not by everybody again and again.
    back, lost = r'Redis answers again" away=\d', "cannot use Redis"
    eventually(lambda: told(stage, lines, back) == told(stage, lines, lost), 30, stage.last_lines)
    assert told(stage, lines, lost) <= 1


@pytest.mark.long
def test_D4_instance_cut_off_for_longer_than_its_lease_loses_its_job_to_another(
    stage: Stage, start_rigged: StartRigged
):
    held = stage.hold(runs=2)
    stage.proxy.blackhole()
    other = start_rigged(stage.server.url())
    stage.others.append(other)

    eventually(lambda: other.ran("start"), message=other.log)
    stage.release()
    eventually(lambda: len(stage.runs("done", held)) == 2, message=stage.last_lines)
    stage.heal()

    stage.jobd.wait_for_log("Redis answers again")
    eventually(lambda: not wire.privates(stage.raw), message=stage.last_lines)
    assert other.stop() == 0


def test_D5_server_works_or_stops_though_redis_was_away_at_boot(start_rigged: StartRigged):
    redis = servers.Server()
    with contextlib.closing(redis):
        url = f"redis://default:secret@127.0.0.1:{redis.port}/0"
        first, second = start_rigged(url), start_rigged(url)
        line = first.wait_for_line("cannot use Redis")
        assert "redis.url or REDIS_URL" in line
        assert first.stop() == 0
        assert "secret" not in first.log()
        assert first.log().count("waiting for it") == 1
        redis.start()
        came = time.time()
        with contextlib.closing(servers.connect(redis.url())) as raw:
            wire.push(raw, "Echo")
            eventually(second.ran, timeout=PATIENCE_S, message=second.log)
        times.note([came], second.ran())
        second.wait_for_log("Redis answers again")
        assert second.stop() == 0


# Messages that get lost

LOSSES = ["claim", "BLMOVE", "due", "promote", "beat", "SMEMBERS", "EXISTS", "retry"]


def busy(stage: Stage) -> list[str]:
    """Load that uses every command of a quiet life; its jids."""
    jids = stage.push_many("Echo", 4)
    payloads = [wire.a_payload("Echo") for _ in range(4)]
    stage.raw.zadd("schedule", {wire.encode(payload): 1 for payload in payloads})
    return jids + [stage.expect(payload["jid"]) for payload in payloads]


@pytest.mark.parametrize("how", [Proxy.drop_reply_once, Proxy.drop_request_once])
@pytest.mark.parametrize("command", LOSSES)
def test_D6_D7_message_that_is_lost_once_loses_and_doubles_nothing(
    stage: Stage, command: str, how: Callable[[Proxy, str], None]
):
    seen, lines = stage.proxy.seen[command], len(stage.jobd.log())
    how(stage.proxy, command)

    failing = stage.push("Fail")
    jids = busy(stage)

    stage.wait_for("done", *jids)
    eventually(lambda: stage.places().get(failing) == ["retry"], PATIENCE_S, stage.last_lines)
    eventually(lambda: stage.proxy.seen[command] > seen, message=stage.last_lines)
    assert "ownership lost" not in stage.jobd.log()[lines:]


@pytest.mark.parametrize("how", [Proxy.drop_reply_once, Proxy.drop_request_once])
def test_D6_D7_burial_that_is_lost_once_is_one(stage: Stage, how: Callable[[Proxy, str], None]):
    how(stage.proxy, "bury")

    jid = stage.push("Fail", retry=0)

    eventually(lambda: stage.places().get(jid) == ["dead"], PATIENCE_S, stage.last_lines)


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGKILL])
@pytest.mark.parametrize("how", [Proxy.drop_reply_once, Proxy.drop_request_once])
def test_D6_D7_return_that_is_lost_once_is_one(
    stage: Stage, number: signal.Signals, how: Callable[[Proxy, str], None]
):
    """By the worker that gives back (QUIT), by the poller that recovers (KILL)."""
    jid = stage.hold(runs=2)
    how(stage.proxy, "give_back")

    stage.kill(stage.runs("start", jid)[0]["pid"], number)
    eventually(lambda: len(stage.runs("start", jid)) == 2, message=stage.last_lines)

    stage.release()
    stage.wait_for("done", jid)


# Bad lines

LINES = {
    "latency": {"latency_s": 0.1},
    "one byte at a time": {"slice_bytes": 1},
    "10 KB/s": {"bytes_per_s": 10_000.0},
}


@pytest.mark.parametrize("line", LINES)
def test_D8_bad_line_makes_all_slower_and_breaks_nothing(stage: Stage, line: str):
    before = {child.pid for child in stage.jobd.children("worker")}
    for name, value in LINES[line].items():
        setattr(stage.proxy, name, value)

    jids = busy(stage)
    failing = stage.push("Fail", runs=3)  # its retry may come due, so slow is this line

    stage.wait_for("done", *jids)
    eventually(lambda: stage.places().get(failing) == ["retry"], PATIENCE_S, stage.last_lines)
    assert {child.pid for child in stage.jobd.children("worker")} == before


def test_D21_peer_that_vanishes_without_a_word_is_noticed(stage: Stage):
    """Idle workers wait on it: no timeout of TCP is short enough."""
    stage.proxy.blackhole()
    stage.jobd.wait_for_log("cannot use Redis")

    stage.heal()

    stage.push_many("Echo", 3)
    stage.wait_for("done")


# Servers that stall or refuse


def sleep(stage: Stage) -> Callable[[], object]:
    with contextlib.suppress(RedisError):
        servers.connect(stage.server.unix_url(), socket_timeout=0.1).execute_command(
            "DEBUG", "SLEEP", "3"
        )
    return lambda: None


def be_busy(stage: Stage) -> Callable[[], object]:
    def is_busy() -> bool:
        with contextlib.suppress(RedisError):
            servers.connect(stage.server.unix_url(), socket_timeout=0.2).eval("while 1 do end", 0)
        return not set_patience(5_000)

    def set_patience(milliseconds: int) -> bool:
        """Whether the server took it: it refuses everybody who comes while a script runs on."""
        with contextlib.suppress(ResponseError):
            return stage.raw.config_set("busy-reply-threshold", milliseconds)
        return False

    def resume() -> None:
        stage.raw.script_kill()
        # Else whoever comes while a script of the next test is kept waiting for 50 ms is refused.
        # The script ends a moment after the answer to its kill.
        eventually(lambda: set_patience(5_000), message=stage.last_lines)

    eventually(lambda: set_patience(50) and is_busy(), message=stage.last_lines)
    return resume


def pause_writes(stage: Stage) -> Callable[[], object]:
    stage.raw.client_pause(60_000, all=False)
    return stage.raw.client_unpause


def pause_all(stage: Stage) -> Callable[[], object]:
    stage.raw.client_pause(3_000)
    return lambda: None


@pytest.mark.parametrize("stall", [sleep, be_busy, pause_writes, pause_all])
def test_D9_server_that_stalls_is_waited_for(
    stage: Stage, stall: Callable[[Stage], Callable[[], object]]
):
    before = children(stage.jobd)
    held = stage.hold()
    resume = stall(stage)
    stage.release()
    stage.wait_for("done", held)
    stage.jobd.wait_for_log("cannot use Redis")

    resume()
    eventually(lambda: bool(stage.raw.ping()))
    stage.is_struck()

    stage.push_many("Echo", 3)
    stage.wait_for("done")
    assert children(stage.jobd) == before


def test_D10_connections_killed_in_a_loop_cost_no_job(stage: Stage):
    before = children(stage.jobd)
    jids = stage.push_many("Sleep", 60, 5)
    for _ in range(15):
        stage.raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        eventually(lambda: stage.raw.info("clients")["connected_clients"] > 2)

    stage.wait_for("done", *jids)

    assert children(stage.jobd) == before


def test_D10_connections_that_the_server_drops_when_idle_cost_no_job(stage: Stage):
    stage.raw.config_set("timeout", 1)
    try:
        for _ in range(3):
            # The keeper's and a waiter's connections are idle meanwhile.
            jid = stage.push("Nap", 1.2)
            stage.wait_for("done", jid)
    finally:
        stage.raw.config_set("timeout", 0)


def test_D10_server_without_room_for_connections_is_waited_for(stage: Stage):
    stage.raw.config_set("maxclients", 1)
    try:
        stage.raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        jids = stage.push_many("Echo", 5)
        stage.jobd.wait_for_log("raise its maxclients")
    finally:
        stage.raw.config_set("maxclients", 1_000)
        stage.is_struck()

    stage.wait_for("done", *jids)


def test_D11_scripts_flushed_again_and_again_cost_no_job(stage: Stage):
    jids = stage.push_many("Sleep", 100, 3)
    failing = stage.push("Fail")
    jids += busy(stage)

    def flush_until_done() -> bool:
        stage.raw.script_flush()
        return {run["jid"] for run in stage.runs()} >= set(jids)

    eventually(flush_until_done, PATIENCE_S, stage.last_lines)
    eventually(lambda: stage.places().get(failing) == ["retry"], PATIENCE_S, stage.last_lines)


@pytest.mark.parametrize("stage", ["valkey", "redis"], indirect=True)
def test_D12_full_server_is_drained_to_the_last_job(stage: Stage):
    held = stage.hold()
    jids = stage.push_many("Sleep", 50, 1)
    failing, dying = stage.push("Fail"), stage.push("Fail", retry=0)
    given_back = stage.hold(runs=2)
    stage.raw.config_set("maxmemory", 1)
    try:
        stage.kill(stage.runs("start", given_back)[0]["pid"])
        eventually(lambda: len(stage.runs("start", given_back)) == 2, PATIENCE_S, stage.last_lines)
        stage.release()
        stage.wait_for("done", held, given_back, *jids)
        eventually(lambda: not wire.privates(stage.raw), PATIENCE_S, stage.last_lines)
        assert stage.places() == {failing: ["retry"], dying: ["dead"]}
        with pytest.raises(RedisError, match=r"maxmemory|OOM"):
            wire.push(stage.raw, "Echo")
    finally:
        stage.raw.config_set("maxmemory", 0)


def test_D16_server_that_cannot_save_refuses_and_is_waited_for(stage: Stage):
    folder = stage.raw.config_get("dir")["dir"]
    gone = stage.server.directory / "gone"
    gone.mkdir()
    stage.raw.config_set("dir", str(gone))
    gone.rmdir()
    stage.raw.config_set("save", "3600 1")
    jids = stage.push_many("Sleep", 30, 20)
    try:
        stage.raw.bgsave()
        eventually(lambda: stage.raw.info("persistence")["rdb_last_bgsave_status"] == "err")
        with pytest.raises(RedisError, match="MISCONF"):
            wire.push(stage.raw, "Echo")
        stage.jobd.wait_for_log("MISCONF|not able to persist")
        assert len(stage.jobd.log().splitlines()) < 5_000
    finally:
        stage.raw.config_set("dir", folder)
        stage.raw.config_set("save", "")
        stage.is_struck()

    stage.wait_for("done", *jids)


def test_D17_password_that_changes_is_told_without_it_and_waited_for(stage: Stage):
    stage.raw.config_set("requirepass", "secret")
    stage.raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    try:
        line = stage.jobd.wait_for_line("set user and password in the URL")
        assert "redis.url or REDIS_URL" in line
        assert "secret" not in stage.jobd.log()
    finally:
        stage.raw.config_set("requirepass", "")
        stage.is_struck()

    stage.push_many("Echo", 3)
    stage.wait_for("done")


def test_D17_rights_that_are_taken_away_are_told_and_waited_for(stage: Stage):
    stage.raw.execute_command("ACL", "SETUSER", "default", "-lmove", "-blmove")
    try:
        jids = stage.push_many("Echo", 3)
        stage.jobd.wait_for_log("no permissions|NOPERM|can't run this command")
    finally:
        stage.raw.execute_command("ACL", "SETUSER", "default", "+@all")
        stage.is_struck()

    stage.wait_for("done", *jids)


def test_D18_flushall_while_busy_costs_what_it_deleted_and_no_more(stage: Stage):
    before = children(stage.jobd)
    held = stage.hold()
    stage.push_many("Echo", 20)
    stage.raw.flushall()
    stage.release()
    stage.wait_for("done", held)
    stage.jobd.wait_for_log("ownership lost")
    for jid in stage.jids:
        if jid not in {run["jid"] for run in stage.runs()}:
            stage.may_vanish(jid)

    stage.is_struck()
    later = stage.push_many("Echo", 3)

    stage.wait_for("done", *later)
    (identity,) = eventually(lambda: stage.raw.smembers("processes"), message=stage.last_lines)
    eventually(lambda: stage.raw.exists(identity, b"jobd:instance:" + identity) == 2)
    assert children(stage.jobd) == before


@pytest.mark.parametrize("key", ["queue:other", "paused", "retry", "schedule", "processes"])
def test_D19_key_of_another_type_is_told_and_keeps_no_other_queue_from_being_served(
    stage: Stage, key: str
):
    kept = stage.raw.dump(key)
    stage.raw.set(key, "mine")
    failing = stage.push("Fail")
    try:
        jids = [] if key == "paused" else stage.push_many("Echo", 3)
        stage.wait_for("done", *jids) if jids else None
        stage.jobd.wait_for_log("WRONGTYPE|wrong kind of value")
    finally:
        stage.raw.delete(key)
        if kept:
            stage.raw.restore(key, 0, kept)

    eventually(lambda: stage.places().get(failing) == ["retry"], PATIENCE_S, stage.last_lines)
    later = stage.push_many("Echo", 3)
    stage.wait_for("done", *later)
