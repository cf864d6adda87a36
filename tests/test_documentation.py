"""README and manual say what is so: samples run, flags and files exist, tables match.

What the manual says of settings is compared in ``config/test_documents.py``.
"""

import configparser
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import click
import pytest

from jobd.cli import jobd
from jobd.ctl import jobctl
from jobd.jobs import definition
from jobd.worker import retry
from tests.bench.__main__ import bench
from tests.support.servers import Raw

Role: TypeAlias = Literal["client", "server"]
Run: TypeAlias = Callable[[Path, Role], list[str]]

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^print\(.*\)  # (.+)$", re.MULTILINE)
START = """
import runpy, sys
sys.path.insert(0, {root!r})
from jobd.app import current_app
current_app().is_server = {is_server}
runpy.run_path({script!r}, run_name="manual")
"""
COMMANDS: dict[str, click.Command] = {"jobd": jobd, "jobctl": jobctl, "bench": bench}

# Files of a reader's project, and what the manual says of files in general.
OF_READERS = {"config/jobd.yml", "config/sidekiq.yml", "jobd.yml", ".py"}
OF_TUTORIALS = {"jobs.py", "mailer.py", "signup.py"}

TRIED_ELSEWHERE = {
    "configuration.md": {"yaml"},  # config/test_documents
    "threads.md": {"yaml"},  # config/test_documents
    "jobctl.md": {"console", "text", "yaml"},  # test_tutorials
    "django.md": {"py"},  # contrib/test_django_page
    "testing.md": {"ini"},  # below
    "async.md": {"yaml"},  # in tests/config
}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, *languages: str) -> list[str]:
    """The texts of a page's code blocks in these languages."""
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text())


def as_script(page: Path) -> str:
    """The page's Python at the lines where it stands, so that a stack names them."""
    lines: list[str] = []
    language: str | None = None
    for line in page.read_text().splitlines():
        is_fence = line.startswith("```")
        lines.append(line if language == "python" and not is_fence else "")
        if is_fence:
            language = line.removeprefix("```") if language is None else None
    return "\n".join(lines)


def with_samples() -> list[Path]:
    """What runs here; the pages of folders run in `test_tutorials`."""
    return [page for page in PAGES if page.parent.parent != DOCS and blocks(page, "python")]


@pytest.fixture
def run_samples(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a page's Python and gives what it prints.

    In a process of its own, since jobs are registered by name. As a server it runs what stands
    under configure_server, as a client the rest.
    """
    monkeypatch.setenv("REDIS_URL", redis_url)

    def run(page: Path, role: Role) -> list[str]:
        script = tmp_path / f"page_{page.stem}.py"  # not flask.py, which is imported
        script.write_text(as_script(page))
        code = START.format(root=str(ROOT), script=str(script), is_server=role == "server")
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def rows(page: Path, header: str) -> list[list[str]]:
    """The cells of the table under this header line."""
    _, _, rest = page.read_text().partition(f"{header}\n")
    assert rest, f"no table {header} in {page.name}"
    table = rest.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def words_of(line: str) -> list[str]:
    return shlex.split(line.removeprefix("$ "), comments=True)


def typed(page: Path) -> Iterator[list[str]]:
    """Each jobd or jobctl command that the page tells to type, from its name on."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    lines += [
        line
        for block in blocks(page, "", "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    lines += [span for span in re.findall(r"`([^`\n]+)`", prose(page)) if is_command(span)]
    lines += re.findall(r"^ExecStart=(.*)$", page.read_text(), re.MULTILINE)
    for line in lines:
        words = words_of(line)
        if words and is_command(line.removeprefix("$ ")):
            yield [Path(words[0]).name, *words[1:]]


def is_command(text: str) -> bool:
    return re.match(r"(\S*/)?(jobd|jobctl|bench)( |$)", text) is not None


def flags_of(command: click.Command) -> set[str]:
    return {
        flag
        for parameter in command.get_params(
            click.Context(command, help_option_names=["-h", "--help"])
        )
        for flag in parameter.opts
        if flag.startswith("-")
    }


def anchors(page: Path) -> set[str]:
    """What links to headings of a page may end in, as on GitHub."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


# Samples


@pytest.mark.redis
@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("page", with_samples(), ids=lambda page: page.name)
def test_python_samples_run_and_print_what_they_say(
    page: Path, role: Role, run_samples: Run
) -> None:
    printed = run_samples(page, role)
    promised = PRINTED.findall("".join(blocks(page, "python")))
    assert [line for line in printed if line in promised] == promised


@pytest.mark.redis
@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("jobs.md", "datetime"),
        ("jobs.md", "was pushed"),
        ("iteration.md", "remind"),
        ("iteration.md", "tea of"),
        ("iteration.md", "archived"),
        ("embedding.md", "hello"),
    ],
)
def test_a_sample_prints_what_the_manual_shows_below_it(
    name: str, word: str, run_samples: Run
) -> None:
    page = DOCS / name
    shown = next(block for block in blocks(page, "") if word in block).splitlines()
    assert [line for line in run_samples(page, "client") if line in shown] == shown


@pytest.mark.process
def test_the_pytest_settings_of_the_manual_hold_for_all_tests(tmp_path: Path) -> None:
    (settings,) = blocks(DOCS / "testing.md", "ini")
    (tmp_path / "pytest.ini").write_text(settings)
    (tmp_path / "test_all.py").write_text(
        "import jobd.testing\n"
        "def test_a_test(): assert jobd.testing.mode() == 'fake'\n"
        "def test_another(jobd_inline): assert jobd.testing.mode() == 'inline'\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout


@each_page
def test_each_block_of_code_is_of_a_kind_that_is_tried(page: Path) -> None:
    """Python runs, commands have their flags, settings are read; "" is what is only shown."""
    known = {"", "python", "sh"} | TRIED_ELSEWHERE.get(page.name, set())
    if page.parent.parent == DOCS:
        known |= {"console", "text", "yaml", "ruby"}  # in test_tutorials
    assert {language for language, _ in BLOCK.findall(page.read_text())} <= known
    # Whole lines, for which the expression stops looking.
    assert page.read_text().count("```") == 2 * len(BLOCK.findall(page.read_text()))


@pytest.mark.redis
def test_samples_of_the_readme_push_what_they_say(run_samples: Run, raw: Raw) -> None:
    run_samples(ROOT / "README.md", "client")
    sizes = {name: raw.llen(f"queue:{name}") for name in ("mailers", "critical", "low")}
    assert sizes == {"mailers": 3, "critical": 1, "low": 1}
    assert raw.zcard("schedule") == 1


PROMISES = (
    "a push returns",
    "a job is delivered",
    "its worker is killed",
    "it raises",
    "it takes long",
    "the same job is pushed twice",
    "it returns something",
)


def test_migration_pages_compare_the_same_promises_and_say_the_same_of_jobd() -> None:
    ours: set[tuple[str, ...]] = set()
    for page in (DOCS / "migration").glob("*.md"):
        (header,) = re.findall(r"^\| \| [\w ]+ \| jobd \|$", page.read_text(), re.MULTILINE)
        table = rows(page, header)
        assert tuple(name for name, _, _ in table) == PROMISES
        assert all(theirs for _, theirs, _ in table)
        ours.add(tuple(jobd for _, _, jobd in table))
    assert len(ours) == 1


# Commands


@each_page
def test_commands_to_type_have_these_flags(page: Path) -> None:
    for name, *words in typed(page):
        command, known = COMMANDS[name], flags_of(COMMANDS[name])
        if isinstance(command, click.Group) and words and not words[0].startswith("-"):
            assert words[0] in command.commands, f"{name} {words[0]}"
            known |= flags_of(command.commands[words[0]])
        if words[:1] == ["redis"]:
            continue  # what follows is Redis's
        flags = {word.partition("=")[0] for word in words if re.match(r"--?\w", word)}
        assert flags <= known, f"{name} {shlex.join(words)}"


@each_page
def test_flags_that_are_named_exist(page: Path) -> None:
    commands = [*COMMANDS.values(), *jobctl.commands.values()]
    known = set[str]().union(*map(flags_of, commands))
    assert set(re.findall(r"`(--[\w-]+)`", prose(page))) <= known


def test_readme_names_every_command_of_jobctl() -> None:
    named = {words[1] for words in typed(ROOT / "README.md") if words[0] == "jobctl" and words[1:]}
    assert named == set(jobctl.commands)


def test_the_first_command_of_the_readme_runs_and_the_second_tests() -> None:
    first, second, *_ = blocks(ROOT / "README.md", "sh")
    assert first.strip() == "bin/jobd -C etc/jobd.yml -e development"
    assert second.strip() == "bin/test"


def test_exit_statuses_of_the_readme_are_those_of_the_manual() -> None:
    manual = {
        cells[0]
        for cells in rows(
            ROOT / "docs" / "signals.md", "| status | meaning | systemd, with our unit file |"
        )
    }
    readme = rows(ROOT / "README.md", "| exit status | of | meaning |")
    assert {status for status, of, _ in readme if of != "`jobctl`"} <= manual


# Files


@each_page
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    pattern = r"`((?:[\w.-]+/)*[\w.-]*\.(?:py|lua|yml|md|service|cfg|toml))`"
    for name in set(re.findall(pattern, prose(page))) - OF_READERS - OF_TUTORIALS:
        found = [*ROOT.glob(name), *ROOT.glob(f"jobd/**/{name}")]
        assert found, name


@each_page
def test_folders_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:bin|docs|etc|examples|jobd|systemd|tests)/[\w/]*)`", prose(page)):
        assert (ROOT / name).exists(), name


# Tables


def test_the_dependency_table_is_that_of_the_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    groups = {"core": setup["options"]["install_requires"], **setup["options.extras_require"]}
    required = {
        (group, re.split(r"[<>=!~; ]", line, maxsplit=1)[0])
        for group, lines in groups.items()
        for line in lines.split("\n")
        if line.strip()
    }
    table = rows(ROOT / "README.md", "| package | group | what it is there for |")
    assert sorted((group, package.strip("`")) for package, group, _ in table) == sorted(required)
    assert all(reason for _, _, reason in table)


def test_the_tour_of_modules_is_in_reading_order() -> None:
    table = rows(ROOT / "README.md", "| | module | what it is for |")
    names = [re.sub(r"\[(\w+)\].*", r"\1", cell) for _, cell, _ in table]
    tour = "payload keys store client fetch execution retry processor master boot cli"
    assert names == tour.split()


def test_the_table_of_options_is_that_of_jobs() -> None:
    table = rows(ROOT / "docs" / "jobs.md", "| option | default | what it is |")
    assert [cells[0].strip("`") for cells in table] == list(definition.OPTIONS)


def test_the_table_of_retries_is_the_curve() -> None:
    table = rows(
        ROOT / "docs" / "jobs.md",
        "| try | after a failure, in seconds | about, since the first failure |",
    )
    for number, after, about in table:
        attempts = range(int(number))
        assert after == " to ".join(str(s) for s in extremes(attempts[-1]))
        amount, unit = about.split()
        seconds = float(amount) * {"s": 1, "min": 60, "h": 3_600, "days": 86_400}[unit]
        expected = sum(sum(extremes(attempt)) / 2 for attempt in attempts)
        assert seconds == pytest.approx(expected, rel=0.06)


def extremes(attempt: int) -> tuple[int, int]:
    """The shortest and the longest delay that ``backoff_s`` draws."""

    class Lowest:
        def randrange(self, _stop: int) -> int:
            return 0

    class Highest:
        def randrange(self, stop: int) -> int:
            return stop - 1

    low, high = (retry.backoff_s(attempt, rng) for rng in (Lowest(), Highest()))  # pyright: ignore[reportArgumentType] - stands in for random.Random
    return int(low), int(high)
