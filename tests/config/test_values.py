"""Each setting: what it takes, and what is said of anything else."""

import math
from pathlib import Path
from typing import Any

import pytest

from jobd.config import (
    Capsule,
    Flags,
    LogSettings,
    QueueWeight,
    WebSettings,
    WorkerSettings,
    load,
)
from jobd.config.model import Mode
from tests.config.settled import Load, Problems, queues

# Queues and capsules


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[a, b]", queues(a=0, b=0)),
        ("[[a, 6], 'b,3', c]", queues(a=6, b=3, c=0)),
        ("[[a], ['b', '2'], 'c, 4']", queues(a=0, b=2, c=4)),
        ("default", queues(default=0)),
        ("default,2", queues(default=2)),
        (
            "[on, 010, 1.50, no:where-x_y.z]",
            queues(**{"on": 0, "010": 0, "1.50": 0, "no:where-x_y.z": 0}),
        ),
    ],
)
def test_queues_are_written_in_several_ways(
    settle: Load, written: str, expected: tuple[QueueWeight, ...]
) -> None:
    assert settle(f"queues: {written}").capsules[0].queues == expected


@pytest.mark.parametrize(
    ("weights", "mode"),
    [((0, 0), "strict"), ((1, 1), "random"), ((2, 1), "weighted"), ((1, 0), "weighted")],
)
def test_the_weights_tell_the_order(weights: tuple[int, int], mode: Mode) -> None:
    named = queues(a=weights[0], b=weights[1])
    assert Capsule(name="c", concurrency=1, queues=named).mode == mode


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (
            "[mail box]",
            'queue "mail box": a queue name may hold letters, digits and _ . : - (set in queues)',
        ),
        ("[é]", 'queue "é": a queue name may hold'),
        ("[a, ]\n", None),
        ("[~]", "queue nothing: a queue name may hold"),
        ("[[]]", "queue a list: a queue name may hold"),
        ("[[a, b]]", 'queue "a": its weight must be a whole number up to 1000, not "b"'),
        ("['a,-1']", 'queue "a": its weight must be'),
        ("['a,1001']", 'queue "a": its weight must be'),
        (f"['a,{'9' * 5000}']", 'queue "a": its weight must be'),
        ("['a,1.5']", 'queue "a": its weight must be'),
        ("[[a, 1, 2]]", 'queue "a": takes one weight'),
        ("[{a: 2}]", "queues: a queue with a weight is written [critical, 6]"),
        ("{a: 2}", "queues: must be a list such as"),
        ("[a, b, a]", 'queues: queue "a" is listed twice'),
        ("[]", "queues: the list is empty"),
    ],
)
def test_queues_that_are_none_are_refused(
    settle: Load, problems: Problems, written: str, problem: str | None
) -> None:
    if problem is None:
        settle(f"queues: {written}")
    else:
        assert problems(f"queues: {written}")[0].startswith(f"jobd.yml:1: {problem}")


def test_queues_of_the_command_line_replace_those_of_the_file(
    settle: Load, problems: Problems
) -> None:
    assert settle("queues: [a, b]", queues=("c",)).capsules[0].queues == queues(c=0)
    assert problems(queues=("mail box", "a,x")) == [
        '-q: queue "mail box": a queue name may hold letters, digits and _ . : -',
        '-q: queue "a": its weight must be a whole number up to 1000, not "x"',
    ]


def test_capsules_have_workers_and_queues_of_their_own(settle: Load) -> None:
    config = settle("concurrency: 2\ncapsules: {slow: {concurrency: 3, queues: [[a, 2], b]}}")
    assert config.capsules[1] == Capsule(name="slow", concurrency=3, queues=queues(a=2, b=0))
    assert (config.concurrency, config.worker_count) == (2, 5)


def test_capsules_have_threads_and_async_jobs_of_their_own(settle: Load) -> None:
    own = "{concurrency: 1, queues: [a], threads: 3, async_concurrency: 0}"
    config = settle(
        f"async_concurrency: 500\ncapsules: {{b: {own}, c: {{concurrency: 1, queues: [c]}}}}"
    )
    found = [(each.threads, each.async_concurrency) for each in config.capsules]
    assert found == [(1, 500), (3, 0), (1, 100)]
    default = "capsules: {default: {async_concurrency: 7}}"
    assert settle(default).capsules[0].async_concurrency == 7


def test_the_default_capsule_may_be_written_among_the_others(
    settle: Load, problems: Problems
) -> None:
    text = "capsules: {default: {concurrency: 2, queues: [a]}, b: {concurrency: 1, queues: [b]}}"
    assert [capsule.name for capsule in settle(text).capsules] == ["default", "b"]
    assert (settle(text).concurrency, settle(text, concurrency=7).concurrency) == (2, 7)
    (problem,) = problems(f"{text}\nconcurrency: 3")
    assert problem == (
        "jobd.yml:1: capsules.default.concurrency: given twice, as concurrency on line 2 too"
    )
    assert "must be a mapping of" in problems("capsules: {default: 3}")[0]
    assert "bad name" in problems("capsules:\n  default:\n    queues: [bad name]")[0]
    assert 'did you mean "queues"' in problems("capsules: {default: {queue: [a]}}")[0]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[a]", ["capsules: must be a mapping such as"]),
        ("{a: 3}", ["capsules.a: needs both"]),
        ("{a: {queues: [b]}}", ["capsules.a: needs both"]),
        ("{a b: {queues: [b], concurrency: 1}}", ['capsule "a b": a capsule\'s name may hold']),
        (
            "{a: {queues: [x y], concurrency: 0, wait: 1}}",
            [
                'unknown key "wait"',
                "capsules.a.concurrency: must be a whole number from 1",
                'queue "x y": a queue name may hold letters, digits and _ . : - (set in capsules.a',
            ],
        ),
        (
            "{a: {queues: [b], concurrency: 1, threads: 0, async_concurrency: 1001}}",
            [
                "capsules.a.threads: must be a whole number from 1 to 100",
                "capsules.a.async_concurrency: must be a whole number from 0 to 1000",
            ],
        ),
    ],
)
def test_capsules_that_are_none_are_refused(
    problems: Problems, written: str, expected: list[str]
) -> None:
    found = problems(f"capsules: {written}")
    assert len(found) == len(expected)
    for problem, beginning in zip(found, expected, strict=True):
        assert problem.startswith(f"jobd.yml:1: {beginning}")


def test_there_are_not_more_workers_than_slots(settle: Load, problems: Problems) -> None:
    capsules = "capsules: {a: {concurrency: 999, queues: [a]}}"
    assert settle(capsules, concurrency=1).worker_count == 1000
    assert problems(capsules, concurrency=2)[0].startswith("concurrency: 1001 worker processes")


# Single settings


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("concurrency: '5'", "concurrency", 5),
        ("dead_max_jobs: 5_000", "dead_max_jobs", 5000),
        ("web: {redact: ['*iban*', card]}", "web", WebSettings(redact=("*iban*", "card"))),
        ("web: {redact: iban}", "web", WebSettings(redact=("iban",))),
        ("concurrency: 010", "concurrency", 10),
        ("timeout: 0.5", "timeout", 0.5),
        ("timeout: unlimited", "timeout", math.inf),
        ("worker: {max_jobs: 100}", "worker", WorkerSettings(max_jobs=100)),
        ("worker: {max_memory: 200M}", "worker", WorkerSettings(max_memory=200_000_000)),
        ("worker: {max_memory: 4096}", "worker", WorkerSettings(max_memory=4096)),
        ("worker: {max_age: 3600}", "worker", WorkerSettings(max_age=3600.0)),
        ("boot_timeout: 90", "boot_timeout", 90.0),
        ("max_retries: 0", "max_retries", 0),
        ("wire: 7", "wire", 7),
        ("fetch: basic", "fetch", "basic"),
        ("fetch: :basic", "fetch", "basic"),
        ("batch: auto", "batch", "auto"),
        ("batch: 10", "batch", 10),
        ("threads: 1", "threads", 1),
        ("threads: 100", "threads", 100),
        ("async_concurrency: 0", "async_concurrency", 0),
        ("async_concurrency: 1000", "async_concurrency", 1000),
        ("preload: false", "preload", False),
        ("require: a.b", "require", ("a.b",)),
        ("require: [a.b, ./c.py]", "require", ("a.b", "./c.py")),
        ("labels: [a, 1.10, yes]", "labels", ("a", "1.10", "yes")),
        ("tag: 2024", "tag", "2024"),
        ("log: {format: json, level: warning}", "log", LogSettings(format="json", level="warning")),
        ("verbose: yes", "log", LogSettings(level="debug")),
    ],
)
def test_a_setting_is_taken_over(settle: Load, text: str, field: str, value: object) -> None:
    assert getattr(settle(text), field) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("concurrency: 0", 'concurrency: must be a whole number from 1 or auto, not "0"'),
        ("concurrency: true", 'concurrency: must be a whole number from 1 or auto, not "true"'),
        ("concurrency: 1.5", "concurrency: must be a whole number"),
        ("concurrency: 1:30", "concurrency: must be a whole number"),
        ("concurrency: [1]", "concurrency: must be a whole number from 1 or auto, not a list"),
        (f"concurrency: {'9' * 5000}", "concurrency: must be a whole number"),
        ("max_retries: -1", "max_retries: must be a whole number from 0"),
        ("timeout: soon", 'timeout: must be a number of seconds above 0, or unlimited, not "soon"'),
        ("worker: {max_memory: 0}", "worker.max_memory: must be a size such as 200M, 2G or bytes"),
        ("timeout: 0", "timeout: must be a number of seconds above 0"),
        ("timeout: .nan", "timeout: must be a number of seconds above 0"),
        ("timeout: inf", "timeout: must be a number of seconds above 0"),
        ("wire: 6", 'wire: must be 7 or 8, not "6"'),
        ("fetch: fast", 'fetch: must be reliable or basic, not "fast"'),
        ("batch: some", "batch: must be a whole number from 1 or auto"),
        ("verbose: maybe", "verbose: must be true or false"),
        ("tag: ''", "tag: must be one line of text"),
        ('tag: "a\\nb"', "tag: must be one line of text"),
        ("tag: [a]", "tag: must be one line of text, not a list"),
        ("require: [a, {b: c}]", "require: must be one line of text, not a mapping"),
        ("log: json", 'log: must be a mapping with any of file, format, level, not "json"'),
        ("log: {level: loud}", "log.level: must be debug or info or warning or error"),
        ("web: iban", 'web: must be a mapping with any of redact, not "iban"'),
        ("web: {redacted: a}", 'unknown key "redacted"; did you mean "redact"?'),
        ("web: {redact: [a, [b]]}", "web.redact: must be one line of text"),
        ("redis: 7", '"7": a Redis URL begins with'),
        ("redis: [a]", "redis: must be a URL, embedded or {url, size, network_timeout}"),
        ("redis: {size: 0}", "redis.size: must be a whole number from 1"),
    ],
)
def test_a_wrong_value_is_refused_with_what_would_be_right(
    problems: Problems, text: str, problem: str
) -> None:
    (found,) = problems(text)
    assert found.startswith("jobd.yml:1: ")
    assert problem in found


def test_a_worker_may_be_as_silent_as_redis_makes_it(settle: Load, problems: Problems) -> None:
    assert settle("worker: {hung_after: 30}").worker.hung_after == 30
    assert settle("worker: {hung_after: null}").worker.hung_after is None
    (problem,) = problems("worker: {hung_after: 30}\nredis: {network_timeout: 6}")
    assert problem.startswith("worker.hung_after: 30 s; a worker may be silent for 34 s while")


@pytest.mark.parametrize(
    "text",
    [
        "schedule: {nightly: {cron: '0 0 * * *'}}",
        "cron: []",
    ],
)
def test_what_comes_later_is_refused_and_says_so(problems: Problems, text: str) -> None:
    (problem,) = problems(text)
    assert "in a later version" in problem


@pytest.mark.parametrize(
    ("flags", "where"),
    [
        ({"concurrency": 0}, "-c"),
        ({"timeout": -1.0}, "-t"),
        ({"tag": ""}, "-g"),
        ({"pidfile": ""}, "-P"),
        ({"logfile": ""}, "-L"),
        ({"require": ("",)}, "-r"),
    ],
)
def test_a_wrong_flag_is_called_by_its_name(
    problems: Problems, flags: dict[str, Any], where: str
) -> None:
    (problem,) = problems(**flags)
    assert problem.startswith(f"{where}: must be ")


def test_relative_paths_begin_at_the_working_directory(settle: Load, tmp_path: Path) -> None:
    config = settle("pidfile: run/a.pid\nlog: {file: /var/log/a.log}")
    assert (config.pidfile, config.log.file) == (str(tmp_path / "run/a.pid"), "/var/log/a.log")


def test_the_tag_is_that_of_the_application_not_of_its_release(tmp_path: Path) -> None:
    release = tmp_path / "shop" / "releases" / "20261121"
    release.mkdir(parents=True)
    assert load(Flags(), {}, release).tag == "shop"
    assert load(Flags(), {}, Path("/")).tag == "jobd"
