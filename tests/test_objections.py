"""What is found that a fork would break, and what may be there.

Each in an interpreter of its own: the one that runs the tests has threads.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

SCRIPT = """
import json, os, socket, threading
from jobd.supervisor.objections import objections, open_fds
listening = socket.create_server(("127.0.0.1", 0))
port = listening.getsockname()[1]
known = open_fds()
{statements}
told = [reason.replace(str(port), "PORT") for reason in objections(known)]
print(json.dumps(told), flush=True)
os._exit(0)
"""


def found_after(statements: str) -> list[str]:
    shown = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(statements=statements)],
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    reasons: list[str] = json.loads(shown.stdout)
    return reasons


@pytest.mark.parametrize(
    "statements",
    [
        "pass",
        "pair = socket.socketpair()",
        "another = socket.create_server(('127.0.0.1', 0))",
        "file = open(os.devnull)",
        "statsd = socket.socket(type=socket.SOCK_DGRAM); statsd.connect(('127.0.0.1', port))",
        "gone = socket.create_connection(('127.0.0.1', port)); gone.close()",
        "ended = threading.Thread(target=print); ended.start(); ended.join()",
    ],
)
def test_what_a_fork_may_share_is_no_objection(statements: str) -> None:
    assert found_after(statements) == []


def test_threads_and_connections_are_named() -> None:
    assert found_after(
        "threading.Thread(target=threading.Event().wait, name='flusher').start()\n"
        "kept = socket.create_connection(('127.0.0.1', port))"
    ) == ["the thread flusher", "the connection to 127.0.0.1:PORT"]


def test_a_connection_that_was_there_before_is_no_objection() -> None:
    assert (
        found_after("kept = socket.create_connection(('127.0.0.1', port)); known = open_fds()")
        == []
    )
