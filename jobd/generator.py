"""A new job: the file of a class or a function, and its test, where a project keeps such files.

Nothing of the project is imported, only looked at: which folders there are. ``plan`` decides and
``Plan.write`` writes, never over a file that exists.

Source: Sidekiq's lib/generators/sidekiq/job_generator.rb.
"""

import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobd.errors import InvalidJob, JobdError
from jobd.payload import check_fields

_SNAKE: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_KEBAB: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_CAMEL: Final = re.compile(r"[A-Za-z][a-z0-9]*[A-Z][A-Za-z0-9]*|[A-Z][A-Za-z0-9]*")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TAKEN: Final = frozenset(
    {"caplog", "jid", "job", "jobd", "logger", "logging", "payload", "pytest"}
)
"""The templates' own names, which a function cannot have."""
_NO_PACKAGES: Final = frozenset({"test", "tests", "docs", "examples", "node_modules"})

_CLASS: Final = '''\
"""{title}: say what it does, and what pushes it."""

from jobd import Job


class {name}(Job):
    """Say what one run does. It may run twice: see to it that this does no harm."""
{queue}
    {define} perform(self, record_id: int) -> None:
        """Take arguments of your own: JSON values, and ids rather than objects."""
        self.logger.info("record %d", record_id)
'''
_FUNCTION: Final = '''\
"""{title}: say what it does, and what pushes it."""

import logging

from jobd import job

logger = logging.getLogger(__name__)


@job{queue}
{define} {name}(record_id: int) -> None:
    """Say what one run does. It may run twice: see to it that this does no harm.

    Take arguments of your own: JSON values, and ids rather than objects.
    """
    logger.info("record %d", record_id)
'''
_TEST: Final = '''\
"""{title}: that a push enqueues it, and what a run does."""

import logging

import pytest
from jobd.testing import Queues, assert_enqueued

from {module} import {name}


def test_a_push_enqueues_the_job_with_its_arguments(jobd_fake: Queues) -> None:
    jid = {name}.perform_async(7)

    (payload,) = assert_enqueued({name}, args=[7]{queue}, count=1)
    assert payload["jid"] == jid


def test_the_job_runs(jobd_fake: Queues, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    {name}.perform_async(7)

    # As a worker would: through JSON and the middleware.
    assert {name}.drain() == 1

    assert "record 7" in caplog.text
    assert {name}.jobs == []
'''


class CannotWrite(JobdError):
    """A file of the new job is there already, or cannot be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for.

    Attributes:
        name: in snake_case, kebab-case or CamelCase, with the suffix or without.
        is_function: rather than a class.
        is_async: whether it awaits what it waits for.
        queue: None for the default one.
        job_dir: None to look for it, by the rule of ``plan``.
        test_dir: likewise.
    """

    name: str
    is_function: bool = False
    is_async: bool = False
    queue: str | None = None
    job_dir: str | None = None
    test_dir: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The files of a new job, by their paths from the project's directory.

    Attributes:
        files: path and text: the job, then its test.
        require: what the server's setting ``require`` must hold to find the job.
        importer: a module of jobs beside it, which may import it instead; None if there is none.
    """

    root: Path
    files: Sequence[tuple[Path, str]]
    require: str
    importer: Path | None

    def check(self) -> None:
        """See whether there is room.

        Raises:
            CannotWrite: naming the files that are there.
        """
        there = [str(path) for path, _ in self.files if (self.root / path).exists()]
        if there:
            raise CannotWrite(
                f"{' and '.join(there)}: there already, and not written over; nothing was written"
            )

    def write(self) -> None:
        """Write all files, and the folders above them.

        Raises:
            CannotWrite: naming the file; nothing is ever written over.
        """
        self.check()
        for path, text in self.files:
            try:
                (self.root / path).parent.mkdir(parents=True, exist_ok=True)
                # "x": whoever made it since the check keeps it.
                with (self.root / path).open("x", encoding="utf-8") as file:
                    file.write(text)
            except OSError as error:
                raise CannotWrite(f"{path}: {error.strerror}") from error


def plan(wish: Wish, root: Path) -> Plan:
    """Decide on names, places and texts.

    The job's file goes to ``job_dir``, or the first of these that there is: the folder ``app/jobs``
    or ``jobs``; beside a ``jobs.py``; in a package of the project (also under ``src``), its folder
    ``jobs``, or beside its ``jobs.py``. If there is none, ``jobs`` is made. The test goes to
    ``test_dir``, or the first of ``tests/jobs``, the ``tests`` of that package, ``tests`` and
    ``test``; if there is none, ``tests`` is made.

    Args:
        wish: what was asked for.
        root: the project's directory, which its modules are imported from.

    Raises:
        InvalidJob: a name, a queue or a folder that cannot be, or several packages to choose from.
    """
    if wish.queue is not None:
        check_fields({"queue": wish.queue})
    stem = _stem(wish.name)
    folder = _given(root, "--dir", wish.job_dir) if wish.job_dir else _job_folder(root)
    test_folder = (
        _given(root, "--test-dir", wish.test_dir) if wish.test_dir else _test_folder(root, folder)
    )
    module = ".".join((*_dotted(root, folder), f"{stem}_job"))
    importer = _importer(root, folder)
    name = _function_name(stem) if wish.is_function else _class_name(wish.name)
    return Plan(
        root=root,
        files=(
            (folder / f"{stem}_job.py", _job_text(wish, name)),
            (test_folder / f"test_{stem}_job.py", _test_text(wish, name, module)),
        ),
        # A folder of plain files is loaded whole; a package only with what it imports.
        require=str(folder) if folder.parts and importer is None else module,
        importer=importer,
    )


# Names


def _stem(given: str) -> str:
    """The name in snake_case, without the suffix."""
    if not any(form.fullmatch(given) for form in (_SNAKE, _KEBAB, _CAMEL)):
        raise InvalidJob(f'no job can be called "{given}": write mood_sender, or MoodSender')
    stem = _HUMP.sub("_", given).lower().replace("-", "_").removesuffix("_job")
    if stem in {"", "job"}:
        raise InvalidJob(f'"{given}" is no name for a job: say what it does, as mood_sender does')
    return stem


def _class_name(given: str) -> str:
    if _CAMEL.fullmatch(given):
        return f"{given[0].upper()}{given[1:].removesuffix('Job')}Job"  # HTTPPing stays that
    return "".join(word.capitalize() for word in _stem(given).split("_")) + "Job"


def _function_name(stem: str) -> str:
    if keyword.iskeyword(stem) or stem in _TAKEN:
        raise InvalidJob(f'no function can be called "{stem}" here: add a word to it')
    return stem


# Places


def _given(root: Path, option: str, text: str) -> Path:
    path = (root / text).resolve()
    if not path.is_relative_to(root.resolve()):
        raise InvalidJob(f"{option} {text}: not in {root}; run this where the project begins")
    folder = path.relative_to(root.resolve())
    if option == "--dir" and not all(part.isidentifier() for part in folder.parts):
        raise InvalidJob(
            f"{option} {text}: nothing can be imported from there; a folder's name may hold "
            "letters, digits and _"
        )
    return folder


def _job_folder(root: Path) -> Path:
    for name in ("app/jobs", "jobs"):
        if (root / name).is_dir():
            return Path(name)
    if (root / "jobs.py").is_file():
        return Path()
    found = [*_folders_of_packages(root)]
    if len(found) > 1:
        choice = " or ".join(f"--dir {folder}" for folder in found)
        raise InvalidJob(f"several packages have jobs: choose with {choice}")
    return found[0] if found else Path("jobs")


def _folders_of_packages(root: Path) -> Iterator[Path]:
    for above in (Path(), Path("src")):
        for path in sorted((root / above).glob("*/__init__.py")):
            package = path.parent
            if package.name in _NO_PACKAGES or not package.name.isidentifier():
                continue
            if (package / "jobs").is_dir():
                yield above / package.name / "jobs"
            elif (package / "jobs.py").is_file():
                yield above / package.name


def _test_folder(root: Path, folder: Path) -> Path:
    parts = folder.parts[:-1] if folder.name == "jobs" else folder.parts
    own = [Path(*parts, "tests")] if parts else []
    for path in (Path("tests/jobs"), *own, Path("tests"), Path("test")):
        if (root / path).is_dir():
            return path
    return Path("tests")


def _dotted(root: Path, folder: Path) -> tuple[str, ...]:
    """The package that the folder is, as seen from where imports begin."""
    parts = folder.parts
    is_source_root = parts[:1] == ("src",) and not (root / "src" / "__init__.py").exists()
    return parts[1:] if is_source_root else parts


def _importer(root: Path, folder: Path) -> Path | None:
    candidates = (folder / "jobs.py", folder / "__init__.py")
    return next((path for path in candidates if (root / path).is_file()), None)


# Texts


def _job_text(wish: Wish, name: str) -> str:
    define = "async def" if wish.is_async else "def"
    if wish.is_function:
        queue = f'(queue="{wish.queue}")' if wish.queue else ""
        return _FUNCTION.format(title=name, name=name, queue=queue, define=define)
    queue = f'\n    queue = "{wish.queue}"\n' if wish.queue else ""
    return _CLASS.format(title=name, name=name, queue=queue, define=define)


def _test_text(wish: Wish, name: str, module: str) -> str:
    queue = f', queue="{wish.queue}"' if wish.queue else ""
    return _TEST.format(title=name, name=name, module=module, queue=queue)
