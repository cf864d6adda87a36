"""A job as the line of Python that would push it again, to be pasted into a shell."""

import keyword
from typing import Any, Final

from jobd.api import JobRecord

_OPTIONS: Final = ("queue", "retry")


def python_call(record: JobRecord, args: list[Any]) -> str:
    """``MoodSenderJob.set(queue="mailers").perform_async("ada@example.com", "happy")``.

    A name that is none in Python, or a job inside ActiveJob, is pushed by its name.

    Args:
        record: the job.
        args: as they may be shown.
    """
    name = record.class_name
    given = {key: record[key] for key in _OPTIONS if record[key] is not None}
    if not name.isidentifier() or keyword.iskeyword(name) or record.display_class != name:
        item = {"class": name, "args": args, **given}
        return f"jobd.push({item!r})"
    arguments = ", ".join(map(repr, args))
    if not given or given == {"queue": "default", "retry": True}:
        return f"{name}.perform_async({arguments})"
    options = ", ".join(f"{key}={value!r}" for key, value in given.items())
    return f"{name}.set({options}).perform_async({arguments})"
