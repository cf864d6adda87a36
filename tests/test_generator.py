"""The files of a new job: their names, their places, and that they work as they are."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobd import ctl, generator
from jobd.errors import InvalidJob
from jobd.generator import CannotWrite, Wish

Say = Callable[..., int]
Captured = pytest.CaptureFixture[str]

EX_USAGE, EX_CANTCREAT = 64, 73


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run ``jobctl new job`` in an empty project; returns its exit status."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["jobctl", "new", "job", *words])
        try:
            return ctl.main()
        except SystemExit as end:
            return int(str(end.code))

    return run


def make(root: Path, *paths: str) -> None:
    """Make files, and folders where a path ends in a slash."""
    for path in paths:
        if path.endswith("/"):
            (root / path).mkdir(parents=True)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*.py")}


def run_pytest(root: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    return subprocess.run(
        [*command, *paths], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )


# As generated


@pytest.mark.parametrize("flags", [(), ("--function",), ("--queue", "mailers"), ("--async",)])
def test_the_generated_test_passes(tmp_path: Path, say: Say, flags: tuple[str, ...]) -> None:
    assert say("mood_sender", *flags) == 0
    done = run_pytest(tmp_path, "tests/test_mood_sender_job.py")
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_generated_test_fails_if_the_job_does_nothing_or_is_pushed_elsewhere(
    tmp_path: Path, say: Say
) -> None:
    say("mood_sender", "--queue", "mailers")
    path = tmp_path / "jobs" / "mood_sender_job.py"
    text = path.read_text()
    path.write_text(text.replace('self.logger.info("record %d", record_id)', "pass"))
    assert "1 failed, 1 passed" in run_pytest(tmp_path, "tests").stdout
    path.write_text(text.replace('"mailers"', '"low"'))
    assert "1 failed, 1 passed" in run_pytest(tmp_path, "tests").stdout


@pytest.mark.parametrize(
    "there",
    [
        ("shop/__init__.py", "shop/jobs.py"),
        ("shop/__init__.py", "shop/jobs/__init__.py", "shop/tests/__init__.py"),
        ("app/jobs/",),
        ("jobs.py",),
    ],
)
def test_the_generated_test_passes_wherever_jobs_are_kept(
    tmp_path: Path, say: Say, there: tuple[str, ...]
) -> None:
    make(tmp_path, *there)
    assert say("mood_sender") == 0
    done = run_pytest(tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("flags", [(), ("--async",), ("--function", "--queue", "low", "--async")])
def test_generated_files_are_formatted_typed_and_documented(
    tmp_path: Path, say: Say, flags: tuple[str, ...]
) -> None:
    say("mood_sender", *flags)
    rules = ["--isolated", "--select", "E,F,I,D,ANN,UP,B,RUF", "--ignore", "D203,D213,D103"]
    for arguments in (["check", *rules], ["format", "--isolated", "--diff"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "."],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


# Names


@pytest.mark.parametrize(
    "name",
    [
        *("mood_sender", "MoodSender", "MoodSenderJob", "mood_sender_job"),
        *("mood-sender", "mood-sender-job", "moodSender", "moodSenderJob"),
    ],
)
def test_the_suffix_is_stripped_or_added(tmp_path: Path, say: Say, name: str) -> None:
    assert say(name) == 0
    assert files(tmp_path) == {"jobs/mood_sender_job.py", "tests/test_mood_sender_job.py"}
    text = (tmp_path / "jobs" / "mood_sender_job.py").read_text()
    assert "\nclass MoodSenderJob(Job):\n" in text


@pytest.mark.parametrize(
    ("given", "stem", "class_name"),
    [
        ("Ping", "ping", "PingJob"),
        ("HTTPPing", "http_ping", "HTTPPingJob"),
        ("sync_2_crm", "sync_2_crm", "Sync2CrmJob"),
        ("syncHTTP", "sync_http", "SyncHTTPJob"),
        ("JobSweeper", "job_sweeper", "JobSweeperJob"),
        ("class", "class", "ClassJob"),
    ],
)
def test_names_follow_each_other(tmp_path: Path, given: str, stem: str, class_name: str) -> None:
    plan = generator.plan(Wish(name=given), tmp_path)
    (path, text), _ = plan.files
    assert path == Path("jobs") / f"{stem}_job.py"
    assert [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)] == [
        class_name
    ]


@pytest.mark.parametrize("name", ["mood_sender", "MoodSenderJob"])
def test_a_function_has_the_name_without_the_suffix(tmp_path: Path, name: str) -> None:
    plan = generator.plan(Wish(name=name, is_function=True, queue="low"), tmp_path)
    (path, text), _ = plan.files
    assert path == Path("jobs/mood_sender_job.py")
    assert '@job(queue="low")\ndef mood_sender(record_id: int) -> None:' in text


@pytest.mark.parametrize(
    "name",
    [
        *("", "_job", "Job", "job", "JobJob", "7up", "mood-", "mood-big_sender", "Mood_Sender"),
        *("mail/mood", "mail.mood", "mood__sender", "stimmungsmäßig", "a b", "../up"),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    tmp_path: Path, say: Say, capsys: Captured, name: str
) -> None:
    assert say("--", name) == EX_USAGE
    assert f'"{name}"' in capsys.readouterr().err
    assert files(tmp_path) == set()


@pytest.mark.parametrize("name", ["import", "logging", "payload"])
def test_a_function_cannot_be_called_like_what_its_files_need(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidJob, match=f'no function can be called "{name}" here'):
        generator.plan(Wish(name=name, is_function=True), tmp_path)
    generator.plan(Wish(name=name), tmp_path)


def test_a_queue_that_cannot_be_is_refused(say: Say, capsys: Captured) -> None:
    assert say("mood_sender", "--queue", "mail box") == EX_USAGE
    assert "queue" in capsys.readouterr().err


def test_an_async_job_has_an_async_perform(tmp_path: Path, say: Say) -> None:
    assert say("mood_sender", "--async") == say("stock_check", "--async", "--function") == 0
    job, function = (
        tmp_path / "jobs" / f"{name}_job.py" for name in ("mood_sender", "stock_check")
    )
    assert "    async def perform(self, record_id: int) -> None:" in job.read_text()
    assert "\nasync def stock_check(record_id: int) -> None:" in function.read_text()


# Places


@pytest.mark.parametrize(
    ("there", "job", "test", "require"),
    [
        ((), "jobs/J", "tests/T", "jobs"),
        (("jobs/",), "jobs/J", "tests/T", "jobs"),
        (("jobs/__init__.py", "test/"), "jobs/J", "test/T", "jobs.mood_sender_job"),
        (("jobs/", "app/jobs/"), "app/jobs/J", "tests/T", "app/jobs"),
        (("jobs.py",), "J", "tests/T", "mood_sender_job"),
        (
            ("shop/__init__.py", "shop/jobs.py", "shop/tests/"),
            "shop/J",
            "shop/tests/T",
            "shop.mood_sender_job",
        ),
        (
            ("shop/__init__.py", "shop/jobs/__init__.py", "tests/jobs/"),
            "shop/jobs/J",
            "tests/jobs/T",
            "shop.jobs.mood_sender_job",
        ),
        (
            ("src/shop/__init__.py", "src/shop/jobs/__init__.py", "tests/"),
            "src/shop/jobs/J",
            "tests/T",
            "shop.jobs.mood_sender_job",
        ),
        (("shop/__init__.py", "shop/jobs/"), "shop/jobs/J", "tests/T", "shop/jobs"),
        (("shop/__init__.py", "tests/__init__.py", "tests/jobs.py"), "jobs/J", "tests/T", "jobs"),
        (("shop/jobs.py",), "jobs/J", "tests/T", "jobs"),  # a folder, but no package
    ],
)
def test_files_go_where_the_project_keeps_them(
    tmp_path: Path, there: tuple[str, ...], job: str, test: str, require: str
) -> None:
    make(tmp_path, *there)
    plan = generator.plan(Wish(name="mood_sender"), tmp_path)
    assert [str(path) for path, _ in plan.files] == [
        job.replace("J", "mood_sender_job.py"),
        test.replace("T", "test_mood_sender_job.py"),
    ]
    assert plan.require == require


@pytest.mark.parametrize("there", [("jobs/",), ("app/jobs/",), ("jobs/__init__.py",), ("jobs.py",)])
def test_what_it_says_of_require_lets_the_server_find_the_job(
    tmp_path: Path, there: tuple[str, ...]
) -> None:
    make(tmp_path, *there)
    plan = generator.plan(Wish(name="mood_sender"), tmp_path)
    plan.write()
    code = (
        "import sys; from pathlib import Path; from jobd.application import load; "
        "from jobd.jobs import registry; load(sys.argv[1:], Path.cwd()); print(registry.names())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, plan.require],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "('MoodSenderJob',)\n"


@pytest.mark.parametrize("there", ["shop/jobs.py", "shop/jobs/__init__.py"])
def test_a_module_of_jobs_is_named_that_may_import_the_new_one(
    tmp_path: Path, say: Say, capsys: Captured, there: str
) -> None:
    make(tmp_path, "shop/__init__.py", there)
    assert say("mood_sender") == 0
    assert f"mood_sender_job], or import it in {there}\n" in capsys.readouterr().out


def test_several_packages_with_jobs_are_named_to_choose_from(
    tmp_path: Path, say: Say, capsys: Captured
) -> None:
    make(tmp_path, "shop/__init__.py", "shop/jobs.py", "src/crm/__init__.py", "src/crm/jobs/")
    assert say("mood_sender") == EX_USAGE
    assert "choose with --dir shop or --dir src/crm/jobs" in capsys.readouterr().err
    assert say("mood_sender", "--dir", "src/crm/jobs") == 0
    text = (tmp_path / "tests" / "test_mood_sender_job.py").read_text()
    assert "from crm.jobs.mood_sender_job import MoodSenderJob" in text


def test_folders_may_be_given_and_are_made(tmp_path: Path, say: Say) -> None:
    assert say("mood_sender", "--dir", "mail/work", "--test-dir", "checks/mail-work") == 0
    assert files(tmp_path) == {
        "mail/work/mood_sender_job.py",
        "checks/mail-work/test_mood_sender_job.py",
    }
    assert "2 passed" in run_pytest(tmp_path, "checks").stdout


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--dir", "../elsewhere"), "--dir ../elsewhere: not in"),
        (("--test-dir", "/tmp"), "--test-dir /tmp: not in"),
        (("--dir", "my-jobs"), "--dir my-jobs: nothing can be imported from there"),
    ],
)
def test_a_folder_that_cannot_be_is_refused(
    tmp_path: Path, say: Say, capsys: Captured, flags: tuple[str, ...], says: str
) -> None:
    assert say("mood_sender", *flags) == EX_USAGE
    assert says in capsys.readouterr().err
    assert files(tmp_path) == set()


# Writing


@pytest.mark.parametrize("there", ["jobs/mood_sender_job.py", "tests/test_mood_sender_job.py"])
@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_a_file_that_is_there_is_named_and_nothing_is_written(
    tmp_path: Path, say: Say, capsys: Captured, there: str, flags: tuple[str, ...]
) -> None:
    make(tmp_path, there)
    assert say("mood_sender", *flags) == EX_CANTCREAT
    assert f"{there}: there already" in capsys.readouterr().err
    assert files(tmp_path) == {there}
    assert (tmp_path / there).read_text() == ""


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "mood_sender_job.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(CannotWrite, match=r"jobs/mood_sender_job.py: File exists"):
        generator.plan(Wish(name="mood_sender"), tmp_path).write()
    assert not (tmp_path / "elsewhere.py").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, say: Say, capsys: Captured) -> None:
    make(tmp_path, "jobs")
    (tmp_path / "jobs").write_text("a file")
    assert say("mood_sender") == EX_CANTCREAT
    assert "jobs/mood_sender_job.py: " in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(
    tmp_path: Path, say: Say, capsys: Captured
) -> None:
    assert say("mood_sender", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "would create jobs/mood_sender_job.py\nwould create tests/test_mood" in shown
    assert list(tmp_path.iterdir()) == []


def test_what_to_do_next_is_told_and_as_json_what_was_done(say: Say, capsys: Captured) -> None:
    say("mood_sender")
    shown = capsys.readouterr().out
    assert "test it: python -m pytest tests/test_mood_sender_job.py" in shown
    assert "let jobd find it: require: [jobs]" in shown
    say("other", "--json")
    assert json.loads(capsys.readouterr().out) == {
        "job": "jobs/other_job.py",
        "test": "tests/test_other_job.py",
        "require": "jobs",
    }
