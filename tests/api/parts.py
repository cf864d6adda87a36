"""What these tests build from: entries of sets, odd payloads, where jobs lie."""

import json
from typing import Any

from tests.support import wire
from tests.support.servers import Raw

ODD = {
    "nothing": b"",
    "bad JSON": b'{"class":"Echo","args":[1',
    "an array": b"[1,2]",
    "a number": b"17",
    "no args": b'{"class":"Echo","jid":"abc"}',
    "args that are no list": b'{"class":"Echo","args":"x"}',
    "not UTF-8": b"\xff\xfe\x00\r\n\x80",
    "a protocol": b"*1\r\n$4\r\nPING\r\n",
    "a number too large": b'{"class":"Echo","args":[],"x":1e400}',
    "nested deeply": b"[" * 5000 + b"]" * 5000,
    "1 MB": b"x" * 1_000_000,
}
"""Bytes that are no job."""

STRANGE = {
    "all fields of the wrong type": {
        "jid": 17,
        "queue": "default",
        "tags": "urgent",
        "created_at": "yesterday",
        "enqueued_at": {},
        "failed_at": [],
        "error_class": 3,
        "error_message": None,
        "error_backtrace": "!!!",
        "retry_count": "many",
        "wrapped": [],
        "display_class": 5,
        "bid": {},
        "encrypt": "yes",
    },
    "times beyond every calendar": {"created_at": 10**30, "enqueued_at": -(10**18)},
    "ActiveJob without its insides": {"class": "Sidekiq::ActiveJob::Wrapper", "args": []},
    "ActiveJob with strange insides": {
        "class": "Sidekiq::ActiveJob::Wrapper",
        "args": [{"job_class": 5, "arguments": "x"}],
    },
    "a mail without arguments": {
        "class": "Sidekiq::ActiveJob::Wrapper",
        "wrapped": "ActionMailer::MailDeliveryJob",
        "args": [{"arguments": ["UserMailer"]}],
    },
    "Unicode tricks": {"class": "\u202egnp.exe", "args": ["\u0000", "<script>"]},
}
"""Fields of jobs that run, or fail, but are not as they should be."""


def a_job(name: str = "Echo", *args: Any, **fields: Any) -> bytes:
    return wire.encode(wire.a_payload(name, *args, **fields))


def a_failed_job(name: str = "Echo", *args: Any, **fields: Any) -> bytes:
    failure = {
        "error_class": "ValueError",
        "error_message": "no such user",
        "retry_count": 2,
        "failed_at": wire.now_ms() - 5_000,
    }
    return a_job(name, *args, **{"created_at": wire.now_ms() - 9_000, **failure, **fields})


def fill(raw: Raw, key: str, count: int, name: str = "Echo", **fields: Any) -> list[str]:
    """Add failed jobs to a set, due at 1, 2, 3, ... seconds of the epoch; returns their jids."""
    jids = [f"{name.lower()}{number:020d}" for number in range(count)]
    template = a_failed_job(name, jid="JID", **fields)
    for first in range(0, count, 10_000):
        chunk = jids[first : first + 10_000]
        scores = {
            template.replace(b"JID", jid.encode()): first + offset
            for offset, jid in enumerate(chunk, 1)
        }
        raw.zadd(key, scores)
    return jids


def jids_of(raws: list[bytes]) -> list[str]:
    return [json.loads(each)["jid"] for each in raws]


def places(raw: Raw, jid: str) -> list[str]:
    """Where a job lies: the names of its queue and sets, once for each time."""
    found: list[str] = []
    for name in ("schedule", "retry", "dead"):
        found += [name for each in raw.zrange(name, 0, -1) if jid.encode() in each]
    for key in sorted(raw.keys("queue:*")):
        found += [key.decode() for each in raw.lrange(key, 0, -1) if jid.encode() in each]
    return found
