"""The example app: its forms, its mails, its jobs, and what starts them together.

The web app, the catcher and jobd are real processes; only mails that take seconds take less here.
"""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from examples.daily_mood import database, settings
from examples.daily_mood.jobs import (
    Echo,
    MoodSenderJob,
    TaskLoggerJob,
    UserLogCreateJob,
    UserReminderJob,
)
from tests.support import leash
from tests.support.eventually import PATIENCE_S, eventually
from tests.support.jobd_process import JobdProcess
from tests.support.servers import free_port

ROOT = Path(__file__).parent.parent
WEB = (sys.executable, "-m", "examples.daily_mood.web")
CATCHER = (sys.executable, "-m", "examples.daily_mood.catcher")
LAUNCHER = (sys.executable, "-m", "examples.daily_mood.launcher")
RUN = (str(ROOT / "examples/daily_mood/run"),)
SLEEPER = "exec sleep 60"
JOBD_YAML = """
concurrency: 2
timeout: 5
queues: [mailers, default, low]
require: [examples.daily_mood.jobs]
"""

Family = Callable[..., subprocess.Popen[bytes]]
A_MOOD = {"email": "ada@example.com", "mood": "happy"}
A_USER = {"name": "Ada", "email": "ada@example.com", "remind_in_s": "1"}


@pytest.fixture(autouse=True)
def mood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    """Settings of the test alone, which the processes it starts inherit."""
    for name in ("REDIS_URL", "JOBD_ENV", "APP_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAILY_MOOD_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DAILY_MOOD_PORT", str(free_port()))
    monkeypatch.setenv("DAILY_MOOD_SMTP_PORT", str(free_port()))
    monkeypatch.setenv("DAILY_MOOD_SECONDS", "0.2")
    return settings.load()


@pytest.fixture
def slow_mail(mood: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time enough to come in between; to be named before the processes that it is for."""
    monkeypatch.setenv("DAILY_MOOD_SECONDS", "3")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """What the started processes write."""
    return tmp_path / "output"


@pytest.fixture
def start(output: Path) -> Iterator[Family]:
    """Starts processes that end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(*command: str) -> subprocess.Popen[bytes]:
        with output.open("ab") as file:
            started.append(leash.start(command, cwd=ROOT, output=file))
        return started[-1]

    yield start_one
    for one in reversed(started):
        one.terminate()
    for one in started:
        one.wait(timeout=PATIENCE_S)


@pytest.fixture
def web(start: Family, mood: settings.Settings) -> Iterator[httpx.Client]:
    """A browser before the running web app."""
    start(*WEB)
    with a_browser(mood) as browser:
        yield browser


@pytest.fixture
def catcher(start: Family, mood: settings.Settings) -> None:
    """The running mail server."""
    start(*CATCHER)
    eventually(lambda: is_open(mood.smtp_port))


@pytest.fixture
def jobd(
    mood: settings.Settings, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[JobdProcess]:
    """A running jobd that serves the example; to be named before the web app that pushes to it."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    with JobdProcess(tmp_path / "jobd", redis_url=redis_url, config=JOBD_YAML) as process:
        yield process.start().wait_ready()


def a_browser(mood: settings.Settings) -> httpx.Client:
    eventually(lambda: is_open(mood.web_port))
    return httpx.Client(base_url=mood.web_url, timeout=PATIENCE_S, trust_env=False)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def flash(response: httpx.Response) -> str:
    assert response.status_code == 303
    return httpx.URL(response.headers["location"]).params["flash"]


def sender_pids(jobd: JobdProcess) -> list[int]:
    return [int(pid) for pid in re.findall(r"worker (\d+) sends", jobd.log())]


def a_procfile(directory: Path, **commands: str) -> str:
    path = directory / "Procfile"
    path.write_text("".join(f"{name}: {command}\n" for name, command in commands.items()))
    return str(path)


# The jobs, called as plain functions.


def test_a_mail_arrives_in_the_catcher_as_it_was_sent(catcher: None):
    MoodSenderJob().perform("zoë@example.com", "naïve ☀")
    (mail,) = database.latest_mails(2)
    assert (mail.recipient, mail.subject) == ("zoë@example.com", "Your mood today: naïve ☀")
    assert "today you are naïve ☀." in mail.body


def test_a_task_is_logged_once_however_often_its_job_runs():
    task_id = database.add_task("Water the plants")
    TaskLoggerJob().perform(task_id)
    first = database.latest_tasks(1)
    TaskLoggerJob().perform(task_id)
    assert database.latest_tasks(1) == first
    assert first[0].worker_pid == os.getpid()


@pytest.mark.parametrize("job", [TaskLoggerJob, UserLogCreateJob])
def test_a_log_row_without_its_row_fails_and_is_not_written(
    job: type[TaskLoggerJob] | type[UserLogCreateJob],
):
    with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
        job().perform(99)


def test_a_reminder_goes_to_the_address_that_the_user_has_by_then(catcher: None):
    UserReminderJob().perform(database.add_user("Ada", "ada@example.com"))
    assert database.latest_mails(1)[0].recipient == "ada@example.com"


def test_a_reminder_for_nobody_names_the_id():
    with pytest.raises(LookupError, match="no user has the id 99"):
        UserReminderJob().perform(99)


def test_echo_prints_its_words(capsys: pytest.CaptureFixture[str]):
    Echo().perform("hello", "world")
    assert capsys.readouterr().out == "hello world\n"


def test_processes_that_meet_at_the_first_use_of_the_database_share_one_file(start: Family):
    code = "from examples.daily_mood import database\nfor _ in range(20): database.add_task('x')"
    writers = [start(sys.executable, "-c", code) for _ in range(5)]
    assert [one.wait(timeout=PATIENCE_S) for one in writers] == [0] * 5
    assert len(database.latest_tasks(200)) == 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DAILY_MOOD_PORT", "web"),
        ("DAILY_MOOD_SMTP_PORT", "65536"),
        ("DAILY_MOOD_SECONDS", "five"),
        ("DAILY_MOOD_SECONDS", "nan"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_with_its_value(name: str, value: str):
    with pytest.raises(ValueError, match=f'{name}="{value}"'):
        settings.load({name: value})


# The web app.


def test_send_now_makes_the_visitor_wait_until_the_mail_is_there(web: httpx.Client, catcher: None):
    response = web.post("/mood", data={**A_MOOD, "when": "now"})
    assert flash(response) == "mood-sent"
    assert response.elapsed.total_seconds() >= 0.2
    assert "Your mood today: happy" in web.get("/inbox").text


def test_send_now_without_a_mail_server_says_so(web: httpx.Client):
    response = web.post("/mood", data={**A_MOOD, "when": "now"}, follow_redirects=True)
    assert "does not answer" in response.text


def test_a_push_without_redis_says_so(
    start: Family, mood: settings.Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    start(*WEB)
    with a_browser(mood) as browser:
        assert flash(browser.post("/mood", data=A_MOOD)) == "no-server"


def test_the_inbox_shows_the_newest_mail_first(web: httpx.Client):
    for subject in ("older", "newer"):
        database.add_mail("ada@example.com", subject, "")
    page = web.get("/inbox").text
    assert page.index("newer") < page.index("older")


def test_the_page_says_how_long_it_took(web: httpx.Client):
    assert re.search(r"This page took <span[^>]*>[0-9]+\.[0-9] ms", web.get("/").text)


def test_what_visitors_write_is_text_and_never_markup(web: httpx.Client):
    database.add_task("<b>bold</b>")
    page = web.get("/", params={"flash": "mood-queued", "jid": "<i>", "ms": "<u>"}).text
    assert "&lt;b&gt;bold" in page
    assert "&lt;i&gt;" in page
    assert not {"<b>", "<i>", "<u>"} & set(re.findall("<.>", page))


@pytest.mark.parametrize(
    ("path", "form", "expected"),
    [
        ("/mood", {**A_MOOD, "email": "ada"}, "bad-email"),
        ("/mood", {**A_MOOD, "email": "a@b.c\r\nBcc: d@e.f"}, "bad-email"),
        ("/mood", {**A_MOOD, "mood": "blue"}, "bad-mood"),
        ("/task", {"title": "   "}, "bad-text"),
        ("/task", {}, "bad-text"),
        ("/user", {**A_USER, "name": "x" * 121}, "bad-text"),
        ("/user", {**A_USER, "remind_in_s": "0"}, "bad-seconds"),
        ("/user", {**A_USER, "remind_in_s": "soon"}, "bad-seconds"),
    ],
)
def test_a_form_that_makes_no_sense_is_explained(
    web: httpx.Client, path: str, form: dict[str, str], expected: str
):
    response = web.post(path, data=form)
    assert flash(response) == expected
    assert 'role="alert"' in web.get(response.headers["location"]).text
    assert (database.latest_tasks(1), database.latest_users(1)) == ([], [])


# One command for all.


@pytest.mark.process
def test_a_signal_stops_all_and_the_catcher_last(start: Family, tmp_path: Path, output: Path):
    note = "trap 'echo {0} stops; exit' TERM INT; echo {0} runs; while :; do sleep 0.05; done"
    file = a_procfile(tmp_path, catcher=note.format("catcher"), web=note.format("web"))
    launcher = start(*LAUNCHER, file)
    eventually(lambda: output.read_text().count("runs") == 2)
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(timeout=PATIENCE_S) == 0
    assert output.read_text().splitlines()[-2:] == ["web stops", "catcher stops"]


@pytest.mark.process
def test_one_that_dies_stops_the_others(start: Family, tmp_path: Path, output: Path):
    launcher = start(*LAUNCHER, a_procfile(tmp_path, web=SLEEPER, jobd="exit 7", catcher=SLEEPER))
    assert launcher.wait(timeout=PATIENCE_S) == 1
    assert "jobd ended with status 7: stopping the others" in output.read_text()
    assert not orphans_of(launcher)


@pytest.mark.process
def test_a_launcher_that_is_killed_leaves_no_process(start: Family, tmp_path: Path):
    launcher = start(*LAUNCHER, a_procfile(tmp_path, web=SLEEPER, catcher=SLEEPER))
    tree = psutil.Process(launcher.pid)
    eventually(lambda: [one.name() for one in tree.children()] == ["sleep", "sleep"])
    children = tree.children()
    launcher.kill()
    launcher.wait()
    eventually(lambda: not any(one.is_running() for one in children if not is_dead(one)))


@pytest.mark.parametrize("name", ["DAILY_MOOD_PORT", "DAILY_MOOD_SMTP_PORT"])
def test_a_port_that_is_taken_is_named_with_the_way_out(start: Family, name: str, output: Path):
    current = settings.load()
    port = current.web_port if name == "DAILY_MOOD_PORT" else current.smtp_port
    with socket.create_server(("127.0.0.1", port)):
        assert start(*LAUNCHER).wait(timeout=PATIENCE_S) == 1
    assert f"port {port}" in output.read_text()
    assert f"{name}=NUMBER" in output.read_text()


def orphans_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Processes of the session that `leash` opened for this one."""
    return [one for one in psutil.process_iter() if in_session(one, process.pid)]


def in_session(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and not is_dead(process)
    except ProcessLookupError:
        return False


def is_dead(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# With jobd.


@pytest.mark.process
@pytest.mark.redis
@pytest.mark.slow
def test_send_in_the_background_returns_at_once_and_the_mail_arrives_later(
    slow_mail: None, catcher: None, jobd: JobdProcess, web: httpx.Client
):
    response = web.post("/mood", data=A_MOOD)
    assert flash(response) == "mood-queued"
    assert not database.latest_mails(2), "it waited for the mail"
    (mail,) = eventually(lambda: database.latest_mails(2))
    assert mail.subject == "Your mood today: happy"


@pytest.mark.process
@pytest.mark.redis
def test_a_task_and_a_user_are_logged_by_a_worker_and_the_user_is_reminded(
    catcher: None, jobd: JobdProcess, web: httpx.Client
):
    assert flash(web.post("/task", data={"title": "Water the plants"})) == "task-added"
    assert flash(web.post("/user", data=A_USER)) == "user-added"
    task = eventually(lambda: [row for row in database.latest_tasks(1) if row.logged_at_ms])
    user = eventually(lambda: [row for row in database.latest_users(1) if row.logged_at_ms])
    workers = {worker.pid for worker in jobd.children("worker")}
    assert {task[0].worker_pid, user[0].worker_pid} <= workers
    eventually(lambda: database.latest_mails(1)[0].subject == "How are you today?")


@pytest.mark.process
@pytest.mark.redis
@pytest.mark.slow
def test_a_mail_whose_worker_is_killed_is_sent_by_the_next_one_within_a_second(
    slow_mail: None,
    catcher: None,
    jobd: JobdProcess,
    web: httpx.Client,
):
    web.post("/mood", data=A_MOOD)
    (first,) = eventually(lambda: sender_pids(jobd))
    os.kill(first, signal.SIGKILL)
    pids = eventually(lambda: sender_pids(jobd)[1:])
    assert pids != [first]
    assert eventually(lambda: len(database.latest_mails(2))) == 1
    assert len(sender_pids(jobd)) == 2


@pytest.mark.process
@pytest.mark.redis
@pytest.mark.slow
def test_one_command_starts_all_and_ctrl_c_leaves_nothing(
    start: Family,
    mood: settings.Settings,
    output: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("REDIS_URL", redis_url)
    run = start(*RUN)
    eventually(lambda: f"open {mood.web_url}" in output.read_text(), 60, output.read_text)
    with a_browser(mood) as browser:
        browser.post("/mood", data=A_MOOD)
        eventually(lambda: database.latest_mails(1))
    family = psutil.Process(run.pid).children(recursive=True)
    assert len(family) >= 4
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=PATIENCE_S) == 0
    assert all(is_dead(one) for one in family)
    assert not is_open(mood.web_port)
    assert not is_open(mood.smtp_port)
