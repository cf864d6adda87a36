"""An iterable job that is killed, quieted and deployed over: each row, and hardly any twice."""

import itertools
import json
import os
import signal
from pathlib import Path

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

ROWS = """
import os, time
from jobd import IterableJob, enumerators

def note(text):
    fd = os.open(os.environ["ROWS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, f"{text}\\n".encode())
    os.close(fd)

class Rows(IterableJob):
    save_every = 0.05

    def build_enumerator(self, cursor, count):
        note("run")
        return enumerators.sequence(range(count), cursor)

    def each_iteration(self, row):
        note(row)
        if not os.path.exists(os.environ["ROWS"] + "-hurry"):
            time.sleep(0.002)
"""
ROW_COUNT = 8_000  # far more than it gets through before it is told to hurry


class Walked:
    """What the job wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def runs(self) -> list[list[int]]:
        """The rows of each run."""
        text = self.path.read_text() if self.path.exists() else ""
        parts = text.rpartition("\n")[0].split("run")[1:]
        return [[int(row) for row in part.split()] for part in parts]

    def goes_on(self) -> bool:
        """Whether the last run has got somewhere; after a kill that lost it a save."""
        runs = self.runs()
        return len(runs[-1]) > 100 if runs else False

    def count(self) -> int:
        return len(self.runs())


def state(raw: Raw, jid: str) -> dict[str, int]:
    found = raw.hgetall(f"it-{jid}")
    return {name.decode(): json.loads(text) for name, text in found.items()}


def kill(jobd: JobdProcess) -> None:
    os.kill(jobd.worker().pid, signal.SIGKILL)


def test_every_row_is_seen_and_progress_never_goes_back(
    raw: Raw, start_jobd: StartJobd, tmp_path: Path
) -> None:
    walked = Walked(tmp_path / "rows")
    options = {"jobs": ROWS, "env": {"ROWS": str(walked.path)}, "config": {"timeout": 20}}
    jid = wire.push(raw, "Rows", ROW_COUNT)
    began: list[int] = []  # with which row each run had to begin

    jobd = start_jobd(**options)
    eventually(walked.goes_on, message=jobd.log)
    kill(jobd)
    eventually(lambda: walked.count() == 2 and walked.goes_on(), message=jobd.log)

    jobd.signal(signal.SIGTSTP)
    eventually(lambda: wire.queued(raw), message=jobd.log)
    began.append(state(raw, jid)["c"])
    assert began[-1] == walked.runs()[-1][-1] + 1  # nothing is done twice after a quiet
    jobd.signal(signal.SIGCONT)
    eventually(lambda: walked.count() == 3 and walked.goes_on(), message=jobd.log)

    assert jobd.stop() == 0
    (payload,) = wire.queued(raw)
    assert "retry_count" not in payload
    began.append(state(raw, jid)["c"])
    assert began[-1] == walked.runs()[-1][-1] + 1  # nor after a deploy
    jobd = start_jobd(**options)
    eventually(lambda: walked.count() == 4 and walked.goes_on(), message=jobd.log)

    kill(jobd)
    Path(f"{walked.path}-hurry").touch()
    eventually(lambda: raw.exists(f"it-{jid}") and "done" in state(raw, jid), message=jobd.log)
    eventually(lambda: not wire.queued(raw) and not wire.privates(raw), message=jobd.log)

    runs = walked.runs()
    assert len(runs) == 5
    assert sorted(set(itertools.chain(*runs))) == list(range(ROW_COUNT))
    assert [runs[2][0], runs[3][0]] == began
    for before, after in itertools.pairwise(runs):
        assert before == list(range(before[0], before[-1] + 1))
        assert before[0] < after[0] <= before[-1] + 1
    assert {"ex": 5, "c": ROW_COUNT - 1, "n": ROW_COUNT}.items() <= state(raw, jid).items()
    assert not raw.exists("retry", "dead")


@pytest.mark.long  # the one above holds the same promise with fewer rows and interruptions
@pytest.mark.timeout(600)
def test_100_000_rows_survive_twelve_kills_quiets_and_deploys(
    raw: Raw, start_jobd: StartJobd, tmp_path: Path
) -> None:
    count = 100_000
    walked = Walked(tmp_path / "rows")
    options = {"jobs": ROWS, "env": {"ROWS": str(walked.path)}, "config": {"timeout": 20}}
    jid = wire.push(raw, "Rows", count)
    jobd = start_jobd(**options)
    saved = [0]
    kinds = ("kill", "quiet", "deploy") * 4

    for number, kind in enumerate(kinds, 1):
        eventually(
            lambda n=number: walked.count() == n and walked.goes_on(), timeout=60, message=jobd.log
        )
        match kind:
            case "kill":
                kill(jobd)
            case "quiet":
                jobd.signal(signal.SIGTSTP)
                eventually(lambda: wire.queued(raw), message=jobd.log)
                jobd.signal(signal.SIGCONT)
            case "deploy":
                assert jobd.stop() == 0
                jobd = start_jobd(**options)
        saved.append(state(raw, jid)["c"])
    Path(f"{walked.path}-hurry").touch()
    eventually(
        lambda: raw.exists(f"it-{jid}") and "done" in state(raw, jid), timeout=300, message=jobd.log
    )

    runs = walked.runs()
    assert len(runs) == len(kinds) + 1
    assert set(itertools.chain(*runs)) == set(range(count))
    assert saved == sorted(saved)
    for kind, before, after in zip(kinds, runs, runs[1:], strict=False):
        assert before == list(range(before[0], before[-1] + 1))
        # Twice is at most what one save covers; nothing, if the job could save at its end.
        assert before[0] < after[0] <= before[-1] + 1
        assert kind == "kill" or after[0] == before[-1] + 1
    assert {"ex": len(runs), "c": count - 1, "n": count}.items() <= state(raw, jid).items()
