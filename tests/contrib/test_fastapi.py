"""The FastAPI examples under uvicorn, with a real server behind them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from tests.support.eventually import eventually
from tests.support.jobd_process import JobdProcess, StartJobd

pytestmark = [pytest.mark.redis, pytest.mark.process]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
UVICORN = (sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", "0")

Span: TypeAlias = Mapping[str, Any]
Serve: TypeAlias = Callable[[str], tuple[JobdProcess, str]]


@pytest.fixture
def serve(redis_url: str, start_jobd: StartJobd) -> Iterator[Serve]:
    """Starts jobd and uvicorn with one of the examples; gives both, the latter as its address."""
    started: list[subprocess.Popen[str]] = []

    def start(module: str) -> tuple[JobdProcess, str]:
        path = f"{EXAMPLES}:{ROOT}"
        jobd = start_jobd(config={"require": [module]}, env={"PYTHONPATH": path})
        log = jobd.directory / "uvicorn.log"
        environ = os.environ | {"REDIS_URL": redis_url, "PYTHONPATH": path}  # noqa: TID251 - handed on
        with log.open("w") as file:
            web = subprocess.Popen(
                [*UVICORN, f"{module}:app"], cwd=jobd.directory, env=environ, stderr=file, text=True
            )
        started.append(web)
        (address,) = eventually(
            lambda: re.findall(r"running on (http://\S+)", log.read_text()), message=log.read_text
        )
        return jobd, address

    yield start
    for web in started:
        web.terminate()
        web.wait(30)


def test_what_a_request_pushed_is_run_once_for_each_address(serve: Serve) -> None:
    jobd, address = serve("fastapi_shop")
    for _ in range(2):
        answer = httpx.post(f"{address}/signup", params={"email": "ada@example.com"})
        assert (answer.status_code, len(answer.json()["jid"])) == (202, 24)
        jobd.wait_for_log(rf"done .*{answer.json()['jid']}|done.*jid={answer.json()['jid']}")
    assert jobd.log().count("welcome, ada@example.com") == 1


def test_the_manual_shows_the_trace_of_a_request_down_to_the_sql_of_its_job(serve: Serve) -> None:
    jobd, address = serve("traced_shop")
    answer = httpx.post(f"{address}/signup", params={"email": "ada@example.com"})
    file = jobd.directory / "spans.jsonl"

    def spans() -> list[Span]:
        lines = file.read_text().split("\n")[:-1] if file.exists() else []
        every = [json.loads(line) for line in lines]
        ours = {span["context"]["trace_id"] for span in every if span["name"] == "POST /signup"}
        return [span for span in every if span["context"]["trace_id"] in ours]

    eventually(lambda: any("process" in span["name"] for span in spans()), message=jobd.log)
    (publish,) = (span for span in spans() if "publish" in span["name"])
    assert publish["attributes"]["messaging.message.id"] == answer.json()["jid"]
    page = (ROOT / "docs" / "tracing.md").read_text()
    (picture,) = re.findall(r"^```\n(POST /signup.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert picture == "".join(f"{line}\n" for line in drawn(spans()))


def drawn(spans: Sequence[Span], parent: str | None = None, before: str = "") -> Iterator[str]:
    """The spans as a tree: name and process of each, in the order in which they began."""
    children = sorted(
        (span for span in spans if span["parent_id"] == parent), key=lambda one: one["start_time"]
    )
    for span in children:
        is_last = span is children[-1]
        branch = "" if parent is None else before + ("└── " if is_last else "├── ")
        service = span["resource"]["attributes"]["service.name"]
        yield f"{branch + span['name']:<40}{service}"
        below = "" if parent is None else before + ("    " if is_last else "│   ")
        yield from drawn(spans, span["context"]["span_id"], below)
