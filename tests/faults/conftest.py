"""Stages for the fault tests: one of each kind in a worker of pytest, as long as it is well."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.stage import ASYNC_MISCHIEF, MISCHIEF, Stage, rigged
from tests.support.jobd_process import JobdProcess
from tests.support.servers import Server

PLACES = 12
"""Of a loop."""
ASYNC = {"require": [str(MISCHIEF), str(ASYNC_MISCHIEF)], "async_concurrency": PLACES}
_KEPT = ("jobd:", "processes")
_HAS_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note for the fixtures whether the test has failed: nobody shall play on its stage again."""
    report = yield
    item.stash[_HAS_FAILED] = item.stash.get(_HAS_FAILED, False) or report.failed
    return report


def _wipe(stage: Stage) -> None:
    """Take away what a test has left in the sets, but not the instance's own keys."""
    for key in stage.raw.scan_iter():
        if not key.decode().startswith(_KEPT) and stage.raw.type(key) != b"hash":
            stage.raw.delete(key)


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stage]]:
    """The stages that are set up."""
    standing: dict[str, Stage] = {}
    yield standing
    with contextlib.ExitStack() as ends:
        for stage in standing.values():
            ends.callback(stage.server.close)
            ends.callback(stage.close)


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    stages: dict[str, Stage],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """Two workers and a server of their own, audited after the test; Valkey, or as asked for.

    ``valkey async``: its workers have a loop.

    The next test plays on it too, unless this one failed.
    """
    kind = getattr(request, "param", "valkey")
    if kind not in stages:
        name, _, is_async = kind.partition(" ")
        server = Server(name, aof=True)
        server.start()
        folder = tmp_path_factory.mktemp(f"stage-{name}")
        stages[kind] = Stage(folder, server, **(ASYNC if is_async else {}))
    stage = stages[kind]
    stage.begin()
    is_well = False
    try:
        yield stage
        stage.proxy.heal()
        if not request.node.stash.get(_HAS_FAILED, False):  # one failure is enough
            stage.audit()
        is_well = True
    finally:
        has_failed = request.node.stash.get(_HAS_FAILED, False)
        if is_well and not has_failed and stage.jobd.returncode is None:
            _wipe(stage)
        else:
            del stages[kind]
            with contextlib.suppress(AssertionError):  # its log is shown, and one failure enough
                stage.close()
            stage.server.close()
        stage.others.clear()


StartRigged = Callable[..., JobdProcess]


@pytest.fixture
def start_rigged(tmp_path: Path) -> Iterator[StartRigged]:
    """A function that starts one more rigged instance and waits until it is ready."""
    started: list[JobdProcess] = []

    def start(url: str, *, ready: bool = True, **options: Any) -> JobdProcess:
        jobd = rigged(tmp_path / f"rigged-{len(started) + 1}", url, **options)
        started.append(jobd)
        jobd.start()
        return jobd.wait_ready() if ready else jobd

    with contextlib.ExitStack() as ends:
        yield start
        for jobd in started:
            ends.callback(jobd.close)
