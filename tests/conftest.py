"""Fixtures for every test: servers, clients, jobd processes.

A server is started by the first test that asks for it, one of each kind in a worker of pytest,
and emptied before every test that uses it.
"""

import contextlib
import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support import coverage_of, servers
from tests.support.clock import FakeClock
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.proxy import Proxy
from tests.support.servers import Raw, Server

FOR_THE_SUMMARY = "for the summary"
"""A property that a test records: a line that the whole run ends with."""

Servers: TypeAlias = Callable[[servers.Kind], Server]


def again(param: object) -> object:
    """A parameter over which a test runs the code that it runs over another one, too."""
    return pytest.param(param, marks=pytest.mark.unmeasured)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``bin/test --all``."""
    parser.addoption("--all", action="store_true", help="run the tests marked long, too")


def pytest_configure(config: pytest.Config) -> None:
    """Hear Ctrl-C, though a shell that starts the tests in the background has them ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: TID251 - for children
    # What importing runs is measured once, by bin/check's --collect-only.
    if hasattr(config, "workerinput") or config.getoption("numprocesses", None):
        coverage_of.ours(is_wanted=False)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked ``long``, unless all is asked for or one test is named."""
    if config.option.all or any("::" in argument for argument in config.args):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before its fixtures start anything."""
    marks = {mark.name for mark in item.iter_markers()}
    coverage_of.processes(is_wanted="measured" in marks)
    # One that starts processes does little itself, but wait.
    coverage_of.ours(is_wanted="measured" in marks or not marks & {"process", "unmeasured"})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have recorded for it; with pytest-xdist, those of all workers."""
    reports = itertools.chain.from_iterable(terminalreporter.stats.values())
    properties = [pair for report in reports for pair in getattr(report, "user_properties", ())]
    # Each is in the reports of its test's run and of its teardown.
    for line in dict.fromkeys(line for name, line in properties if name == FOR_THE_SUMMARY):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def started_servers() -> Iterator[Servers]:
    """A function that gives the session's server of a kind, started at the first call."""
    running: dict[servers.Kind, Server] = {}

    def start(kind: servers.Kind) -> Server:
        if kind not in running:
            server = Server(kind)
            running[kind] = server
            server.start()
        return running[kind]

    yield start
    for server in running.values():
        server.close()


@pytest.fixture
def server(started_servers: Servers) -> Server:
    """The session's Valkey 9, emptied. One that will be killed or stopped: `servers.running`."""
    valkey = started_servers("valkey")
    valkey.reset()
    return valkey


@pytest.fixture
def redis_url(server: Server) -> str:
    """URL of an empty database, over TCP."""
    return server.url()


@pytest.fixture
def raw(redis_url: str) -> Iterator[Raw]:
    """A plain redis-py client of the test's database: bytes, no retries."""
    with contextlib.closing(servers.connect(redis_url)) as client:
        yield client


@pytest.fixture(params=["valkey-tcp", *map(again, ("valkey-unix", "redis-tcp", "redis-unix"))])
def store_url(request: pytest.FixtureRequest, started_servers: Servers) -> str:
    """URL of an empty database, of each server and over each transport in turn."""
    kind, transport = str(request.param).split("-")
    server = started_servers("valkey" if kind == "valkey" else "redis")
    server.reset()
    return server.url() if transport == "tcp" else server.unix_url()


@pytest.fixture
def store_raw(store_url: str) -> Iterator[Raw]:
    """A plain redis-py client of ``store_url``'s database."""
    with contextlib.closing(servers.connect(store_url)) as client:
        yield client


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy before the session's Valkey, whose database is the one of `raw`."""
    between = Proxy(server.port)
    between.start()
    yield between
    between.stop()


@pytest.fixture
def start_jobd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartJobd]:
    """A function that starts a jobd and waits until it is ready; all are ended after the test.

    Takes the arguments of `JobdProcess` but the first, and ``ready=False`` not to wait. Without
    ``redis_url`` it is given the test's own database.
    """
    started: list[JobdProcess] = []

    def start(*, ready: bool = True, **options: Any) -> JobdProcess:
        if "redis_url" not in options:
            options["redis_url"] = request.getfixturevalue("redis_url")
        process = JobdProcess(tmp_path / f"jobd-{len(started) + 1}", **options)
        started.append(process)
        process.start()
        return process.wait_ready() if ready else process

    with contextlib.ExitStack() as ends:
        yield start
        for process in started:
            ends.callback(process.close)


@pytest.fixture
def clock() -> FakeClock:
    """Time that stands still."""
    return FakeClock()
