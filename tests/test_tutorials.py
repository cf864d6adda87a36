"""Each tutorial, done as its reader would: files are written, commands typed, output compared.

In order, in a real terminal, with a real jobd and its private store. A block whose first line is
``# name.py`` is a file; ``console`` is typed; ``text`` is what the one that runs says meanwhile.
Of the migration pages our side runs, and the other system's is parsed.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobd import config
from jobd.config import Flags
from tests.support import leash
from tests.support.jobd_process import StartJobd
from tests.support.servers import Raw
from tests.support.terminal import Block, Reader, blocks, pattern

ROOT = Path(__file__).parent.parent
TUTORIALS = [*sorted((ROOT / "docs" / "tutorial").glob("*.md")), ROOT / "docs" / "jobctl.md"]
MIGRATIONS = sorted((ROOT / "docs" / "migration").glob("*.md"))
FOREIGN = re.compile(r"(JOBD|REDIS|PYTEST|COVERAGE|COV)_|APP_ENV$|VIRTUAL_ENV$|NOTIFY_SOCKET$|CI$")


def clean_environ() -> dict[str, str]:
    """What a reader's shell has."""
    inherited = os.environ.items()  # noqa: TID251 - the shell of these tests stands in for it
    return {name: text for name, text in inherited if not FOREIGN.match(name)}


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A newcomer in a checkout: its commands and its environment are those of this one."""
    leash.needs("redis-cli", "redis-tools")
    # A short path: a Unix socket's may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="jobd-reader-") as folder:
        home = Path(folder)
        checkout = home / "jobd"
        (checkout / "bin").mkdir(parents=True)
        for name in ("jobd", "jobctl"):
            (checkout / "bin" / name).symlink_to(Path(sys.executable).parent / name)
        (checkout / ".venv").symlink_to(sys.prefix)
        environ = clean_environ() | {
            "HOME": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "200",
        }
        newcomer = Reader(home, environ)
        newcomer.directory = checkout
        yield newcomer
        newcomer.close()


@pytest.mark.process
@pytest.mark.redis
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_shows_what_its_reader_sees(page: Path, reader: Reader):
    for block in blocks(page):
        print(f"{page.name}:{block.line}")  # noqa: T201 - where a failure is
        if block.name is not None:
            reader.write(block.name, block.text)
        elif block.language == "console":
            reader.type_in(block.text)
        elif block.language == "text":
            reader.look_for(block.text)


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_each_block_of_a_tutorial_is_one_that_a_reader_can_use(page: Path):
    for block in blocks(page):
        is_file = block.name is not None
        assert is_file == (block.language in {"python", "yaml"}), f"{page.name}:{block.line}"
        assert is_file or block.language in {"console", "text", "sh"}, f"{page.name}:{block.line}"


@pytest.mark.parametrize(
    ("shown", "is_it", "is_not"),
    [
        ("waited 0.2 s.", "waited 7.5 s.", "waited for long."),
        ("done elapsed=5.000", "done elapsed=6.047", "done elapsed=5"),
        ("start pid=12 queue=low", "start pid=4711 queue=low", "start pid=4711 queue=high"),
        ("a  b ...", "a b and more", "a and more"),
        ("2 of 3", "2 of 3", "1 of 3"),
        ("in /home/ada/mood", "in /tmp/x/mood", "in /tmp/x/bank"),
        ("8 passed in 0.04s", "8 passed in 1.23s", "7 passed in 0.04s"),
    ],
)
def test_only_what_differs_from_run_to_run_may_differ(shown: str, is_it: str, is_not: str):
    expected, _ = pattern(shown)
    assert expected.fullmatch(is_it)
    assert not expected.fullmatch(is_not)


def test_a_pid_of_the_page_is_never_killed(tmp_path: Path):
    newcomer = Reader(tmp_path, clean_environ())
    with pytest.raises(AssertionError, match="was not shown before"):
        newcomer.type_in("$ kill -9 24010")


# Migration pages: two columns, the other system's code and ours.


def columns(page: Path) -> tuple[list[Block], list[Block]]:
    """The blocks of the left column and of the right one."""
    left: list[Block] = []
    right: list[Block] = []
    tables = re.findall(r"<table>\n(.*?)</table>", page.read_text(), re.DOTALL)
    found = iter(blocks(page))
    for table in tables:
        assert table.count("```") == 4, table
        left.append(next(found))
        right.append(next(found))
    assert not list(found), f"{page.name}: code outside of the tables"
    return left, right


def of_language(column: list[Block], language: str) -> str:
    return "\n\n".join(block.text for block in column if block.language == language)


@pytest.mark.redis
@pytest.mark.process
@pytest.mark.parametrize("page", MIGRATIONS, ids=lambda page: page.stem)
@pytest.mark.parametrize("role", ["client", "server"])
def test_our_side_of_a_migration_page_runs_and_its_tests_pass(
    page: Path, role: str, tmp_path: Path, redis_url: str
):
    _, ours = columns(page)
    (tmp_path / "conftest.py").write_text(
        f"from jobd.app import current_app\ncurrent_app().is_server = {role == 'server'}\n"
    )
    (tmp_path / "test_page.py").write_text(of_language(ours, "python"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py"],
        cwd=tmp_path,
        env=clean_environ() | {"REDIS_URL": redis_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.redis
@pytest.mark.process
@pytest.mark.parametrize("page", MIGRATIONS, ids=lambda page: page.stem)
def test_a_worker_knows_all_jobs_of_a_migration_page(
    page: Path, start_jobd: StartJobd, raw: Raw, tmp_path: Path
):
    _, ours = columns(page)
    jobs = of_language(ours, "python")
    started = start_jobd(jobs=jobs, config={"queues": ["done"], "require": ["app_jobs"]})
    started.wait_for_log("ready for jobs")
    assert raw.smembers("queues"), "importing the page has pushed its jobs"


@pytest.mark.parametrize("page", MIGRATIONS, ids=lambda page: page.stem)
def test_our_settings_on_a_migration_page_are_settings(page: Path, tmp_path: Path):
    for block in columns(page)[1]:
        if block.language == "yaml":
            path = tmp_path / "jobd.yml"
            path.write_text(block.text)
            assert config.load(Flags(config=str(path)), {}, tmp_path).concurrency


@pytest.mark.parametrize("page", MIGRATIONS, ids=lambda page: page.stem)
def test_the_python_of_others_parses(page: Path):
    compile(of_language(columns(page)[0], "python"), page.name, "exec")


@pytest.mark.parametrize("page", MIGRATIONS, ids=lambda page: page.stem)
def test_the_ruby_of_others_parses(page: Path):
    ruby = leash.needs("ruby", "ruby")
    text = of_language(columns(page)[0], "ruby")
    done = subprocess.run([ruby, "-c"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
