"""Sessions of jobs side by side: a connection and pushes of their own, given back at their end."""

import pytest

from tests.support import wire
from tests.support.eventually import eventually
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw

pytestmark = [pytest.mark.redis, pytest.mark.process]

JOBS = """
import threading
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from jobd import Job
from jobd.contrib.sqlalchemy import enqueue_on_commit
from tests.support.sample_jobs import Echo, record

engine = create_engine("sqlite:///shop.sqlite3", pool_size=3, max_overflow=0)
Session = sessionmaker(engine)
enqueue_on_commit(Session)
three = threading.Barrier(3)


class Beside(Job):
    def perform(self, how):
        with Session() as session:
            connection = session.connection().connection.dbapi_connection
            Echo.set(queue="low").perform_async(how)
            three.wait(60)  # all three are in a session
            record("beside", "Beside", self.jid, [how, id(connection)])
            if how == "commit":
                session.commit()
"""


def test_each_job_has_a_connection_and_only_its_own_pushes_wait_for_its_commit(
    raw: Raw, start_jobd: StartJobd
) -> None:
    jobd = start_jobd(config={"threads": 3, "queues": ["default", "low"]}, jobs=JOBS)
    # More sessions than the pool has connections: each job gives its one back.
    jids = [wire.push(raw, "Beside", how) for how in ("commit", "leave", "commit") * 3]
    eventually(lambda: len(jobd.ran()) == 6, message=jobd.log)
    sides = jobd.ran("beside")
    assert sorted(run["jid"] for run in sides) == sorted(jids)
    for first in (0, 3, 6):
        assert len({run["args"][1] for run in sides[first : first + 3]}) == 3
    assert [run["args"] for run in jobd.ran()] == [["commit"]] * 6
    assert jobd.stop() == 0
    assert not raw.exists("retry", "queue:low")
