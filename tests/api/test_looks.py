"""Which of a worker's lines are those of the job that is looked at."""

import json

import pytest

from jobd.api import Access, JobRecord, Work, find_look
from tests.support import wire
from tests.support.servers import Raw

pytestmark = pytest.mark.redis

OWN, OTHER = "a" * 24, "b" * 24
FORMATS = {
    "logfmt": 'ts=2026 level=info pid=1 msg="{text}" class=Echo jid={jid} queue=default',
    "pretty": "2026 pid=1 INFO    {text} class=Echo jid={jid} queue=default",
    "json": '{{"ts":"2026","level":"info","msg":"{text}","class":"Echo","jid":"{jid}"}}',
}


def the_work(access: Access) -> Work:
    record = JobRecord(wire.encode(wire.a_payload("Echo", jid=OWN)), access=access)
    return Work(process="h:1:abc", tid="1.0.1", queue="default", run_at=None, record=record)


def shown(raw: Raw, access: Access, lines: list[str], jid: str = OWN) -> tuple[str, ...] | None:
    told = {"jid": jid, "at_ms": 1, "stacks": "x", "lines": "\n".join(lines)}
    raw.set("jobd:look:h:1:abc:1.0.1", json.dumps(told))
    look = find_look(the_work(access), access=access)
    return None if look is None else look.lines


@pytest.mark.parametrize("form", FORMATS)
def test_lines_of_other_jobs_are_left_out_and_what_is_printed_is_not(
    raw: Raw, access: Access, form: str
) -> None:
    other = FORMATS[form].format(text="done", jid=OTHER)
    start = FORMATS[form].format(text="start", jid=OWN)
    lines = ["printed before", other, start, "printed", other]
    assert shown(raw, access, lines) == (start, "printed")


def test_a_job_whose_start_is_not_logged_has_what_came_after_the_last_job(
    raw: Raw, access: Access
) -> None:
    other = FORMATS["logfmt"].format(text="fail", jid=OTHER)
    assert shown(raw, access, ["before", other, "printed"]) == ("printed",)
    assert shown(raw, access, ["printed"]) == ("printed",)


def test_what_was_shown_of_the_job_before_is_not_that_of_this_one(raw: Raw, access: Access) -> None:
    assert shown(raw, access, ["printed"], jid=OTHER) is None
    raw.set("jobd:look:h:1:abc:1.0.1", "no JSON")
    assert find_look(the_work(access), access=access) is None
