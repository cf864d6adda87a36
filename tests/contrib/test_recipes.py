"""The modules of docs/flask.md and docs/fastapi.md with a real server behind them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.jobd_process import COMMAND, StartJobd

ROOT = Path(__file__).parents[2]
SAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def samples(name: str) -> list[str]:
    return SAMPLE.findall((ROOT / "docs" / name).read_text())


@pytest.mark.redis
@pytest.mark.process
@pytest.mark.parametrize(
    ("page", "line", "count"),
    [
        ("flask.md", "shop@example.com writes to ada@example.com", 1),
        ("fastapi.md", "welcome, ada@example.com", 2),
    ],
)
def test_what_a_request_pushed_is_run_as_the_page_says(
    page: str, line: str, count: int, tmp_path: Path, redis_url: str, start_jobd: StartJobd
) -> None:
    *module, trying = samples(page)
    (tmp_path / "shop.py").write_text("\n".join(module))
    (tmp_path / "trying.py").write_text(f"from shop import *\n{trying}")
    env = {"REDIS_URL": redis_url, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    text = (ROOT / "docs" / page).read_text()
    ((app, words),) = re.findall(r"^(?:FLASK_APP=(\w+) )?jobd (-r .*)$", text, re.MULTILINE)
    server = start_jobd(command=COMMAND, args=words.split(), env={**env, "FLASK_APP": app})
    environ = {**os.environ, **env}  # noqa: TID251 - handed on
    subprocess.run([sys.executable, "trying.py"], cwd=tmp_path, env=environ, check=True)
    server.wait_for_log(rf"(?s)(?:{re.escape(line)}.*){{{count}}}")
