"""The web app: three forms, each with work that somebody has to do, and the inbox of the catcher.

``python -m examples.daily_mood.web`` serves it, and the dashboard of its jobs at ``/jobs``. Each
form answers with a redirect, so that a reload of the page never sends it twice; what happened
travels in the query string.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.templating import Jinja2Templates

import jobd.web
from examples.daily_mood import database, settings
from examples.daily_mood.jobs import (
    MoodSenderJob,
    TaskLoggerJob,
    UserLogCreateJob,
    UserReminderJob,
)
from jobd.errors import RedisError

MOODS = ("happy", "fine", "so-so", "sad", "grumpy")

Form = Mapping[str, str]
Outcome = dict[str, str]  # the query string of the page that comes next

_templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


class Refused(Exception):
    """A form that cannot be taken as it is; the name of the flash message says why."""


def send_mood(form: Form) -> Outcome:
    """Two buttons, one job: done here while the visitor waits, or pushed to ``mailers``."""
    email, mood = _email(form), form.get("mood", "")
    if mood not in MOODS:
        raise Refused("bad-mood")
    if form.get("when") == "now":
        MoodSenderJob().perform(email, mood)
        return {"flash": "mood-sent"}
    jid = MoodSenderJob.perform_async(email, mood)
    return {"flash": "mood-queued", "jid": jid or ""}


def add_task(form: Form) -> Outcome:
    """A row now, its log row by a job."""
    task_id = database.add_task(_line(form, "title"))
    jid = TaskLoggerJob.perform_async(task_id)
    return {"flash": "task-added", "jid": jid or ""}


def add_user(form: Form) -> Outcome:
    """A row, committed *before* the push: a worker may look for it within a millisecond."""
    remind_in_s = _seconds(form, "remind_in_s")
    user_id = database.add_user(_line(form, "name"), _email(form))
    jid = UserLogCreateJob.perform_async(user_id)
    UserReminderJob.perform_in(remind_in_s, user_id)
    return {"flash": "user-added", "jid": jid or ""}


def _line(form: Form, name: str) -> str:
    text = form.get(name, "").strip()
    if not text.isprintable() or not 1 <= len(text) <= 120:
        raise Refused("bad-text")
    return text


def _email(form: Form) -> str:
    text = form.get("email", "").strip()
    if not re.fullmatch(r"[\w.+-]{1,64}@[\w-]{1,63}(\.[\w-]{1,63})*", text, re.ASCII):
        raise Refused("bad-email")
    return text


def _seconds(form: Form, name: str) -> int:
    text = form.get(name, "")
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= 3600:
        raise Refused("bad-seconds")
    return int(text)


def _post(answer: Callable[[Form], Outcome]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        async with request.form(max_files=0) as fields:
            form = {name: value for name, value in fields.items() if isinstance(value, str)}
        try:
            # In a thread, so that a visitor who waits for a mail holds up nobody else.
            outcome = await run_in_threadpool(answer, form)
        except Refused as refusal:
            outcome = {"flash": str(refusal)}
        except (RedisError, OSError):
            outcome = {"flash": "no-server"}
        outcome["ms"] = str(round(_since_ms(started)))
        return RedirectResponse(f"/?{urlencode(outcome)}", status_code=303)

    return endpoint


async def home(request: Request) -> Response:
    """The forms, and what came of the last ones."""
    started = time.perf_counter()
    context = {
        "moods": MOODS,
        "mail_takes_s": settings.load().mail_takes_s,
        "tasks": await run_in_threadpool(database.latest_tasks, 4),
        "users": await run_in_threadpool(database.latest_users, 4),
        "mails": await run_in_threadpool(database.latest_mails, 3),
        "took_ms": lambda: _since_ms(started),
    }
    return _templates.TemplateResponse(request, "home.html", context)


async def inbox(request: Request) -> Response:
    """What the catcher received, newest first."""
    started = time.perf_counter()
    context = {
        "mails": await run_in_threadpool(database.latest_mails, 50),
        "is_watched": request.query_params.get("watch") == "1",
        "took_ms": lambda: _since_ms(started),
    }
    return _templates.TemplateResponse(request, "inbox.html", context)


def _since_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _clock(at_ms: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at_ms / 1000)) + f".{at_ms % 1000:03}"


_templates.env.filters["clock"] = _clock

app = Starlette(
    routes=[
        Route("/", home),
        Route("/inbox", inbox),
        Route("/mood", _post(send_mood), methods=["POST"]),
        Route("/task", _post(add_task), methods=["POST"]),
        Route("/user", _post(add_user), methods=["POST"]),
        Mount("/jobs", jobd.web.create_app(jobd.web.Settings(back_url="/"))),
    ]
)


def main() -> None:
    """Serve until a signal asks to stop; visitors who still wait for a mail get their answer."""
    uvicorn.run(
        app,
        host=settings.HOST,
        port=settings.load().web_port,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
