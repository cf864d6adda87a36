"""A reader at the terminal: types what a page says, and compares what comes with what is shown.

Pages show real output, so some of it differs each time. Of a shown line, times, ids, pids, sizes
and paths may be others; the pids and jids that came instead are put into the commands that follow,
as a reader would do. A line ``...`` stands for any lines, three dots in a line for any text.
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import leash
from tests.support.eventually import eventually

HOME = "/home/ada"
STAYS = re.compile(r"jobd( |$)|redis-cli .*MONITOR")
LOOKS = re.compile(r"jobctl (status|queues|jobs)\b")

_CODE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# ([\w./-]+\.(?:py|yml|toml))\n")
_PID = re.compile(r"^\S+ pid=(\d+) ")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What differs from run to run, and what stands for it. A group catches what is typed later.
_VARIES: Sequence[tuple[str, str]] = (
    (r"\.\.\.", r".*"),
    (r"\s+", r"\s+"),
    (HOME, r"\S*?"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", r"\d{4}-\d\d-\d\dT[\d:.]+Z"),
    (r"\b[0-9a-f]{24}\b", r"([0-9a-f]{24})"),
    (r"\b[0-9a-f]{16}\b", r"([0-9a-f]{16})"),
    (r"\b[\w.-]+:\d+:[0-9a-f]{12}\b", r"[\w.-]+:\d+:[0-9a-f]{12}"),
    (r"(?<=pid=)\d+|(?<=master=)\d+|(?<=child=)\d+", r"(\d+)"),
    (r"(?<=in )\d+\.\d+(?=s\b)", r"\d+\.\d+"),
    (r"(?<=waited )\d+\.\d|(?<=elapsed=)\d+\.\d+", r"\d+\.\d+"),
    (r"\d+(?:\.\d+)? s ago", r"\d+(?:\.\d+)? (?:s|min) ago"),
    (r"(?<=in )\d+ min\b", r"\d+ min"),
    (r"after \d+(?:\.\d+)? s\b", r"after \d+(?:\.\d+)? s"),
    (r"\b\d{10}\.\d+|\b\d{13}\b", r"[\d.]+"),
    (r"(?<=alkey )[\d.]+", r"[\d.]+"),
    (r"\b\d+(?= MB)", r"\d+"),
)
_VARYING = re.compile("|".join(f"(?P<v{n}>{shown})" for n, (shown, _) in enumerate(_VARIES)))
_DECIMALS = re.compile(r"(?<![\w.])(\d+)\\\.\d+(?!\\?\.?\d)")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code of a page.

    Attributes:
        name: of the file that it is, if its first line names one.
        line: where it stands in the page.
    """

    language: str
    text: str
    name: str | None
    line: int


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(found[1], found[2], _file_name(found[2]), text.count("\n", 0, found.start()) + 1)
        for found in _CODE.finditer(text)
    ]


def _file_name(text: str) -> str | None:
    name = _NAME.match(text)
    return name[1] if name else None


def pattern(shown: str) -> tuple[re.Pattern[str], list[str]]:
    """What a shown line stands for, and the pids and jids in it, one a group."""
    parts: list[str] = []
    names: list[str] = []
    end = 0
    for varying in _VARYING.finditer(shown):
        parts.append(_literal(shown[end : varying.start()]))
        stand_in = _VARIES[int(str(varying.lastgroup)[1:])][1]
        parts.append(stand_in)
        names += [varying[0]] * re.compile(stand_in).groups
        end = varying.end()
    parts.append(_literal(shown[end:]))
    return re.compile("".join(parts)), names


def _literal(text: str) -> str:
    """The text itself, but for the decimals of a number."""
    return _DECIMALS.sub(r"\1\\.\\d+", re.escape(text))


class Reader:
    """Somebody with terminals, in one folder and with one environment.

    Args:
        home: made if it is missing; what pages call ``/home/ada``.
        environ: of the first shell.
    """

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        self.directory = home
        self._environ = dict(environ)
        self._learnt: dict[str, str] = {}
        self._stay: list[_Stay] = []

    def close(self) -> None:
        """Ctrl-C everywhere."""
        for stay in reversed(self._stay):
            stay.interrupt()

    def write(self, name: str, text: str) -> None:
        """Make a file, or replace it."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def type_in(self, console: str) -> None:
        """Type each command of a block, and expect what is shown below it."""
        for typed, shown in _commands(console):
            if typed == "^C":
                stay = self._stay.pop()
                stay.interrupt()
                stay.expect(shown, self._learnt)
            elif STAYS.match(typed):
                self._stay.append(_Stay(self._known(typed), self.directory, self._environ))
                self._stay[-1].expect(shown, self._learnt)
            elif LOOKS.match(typed):
                # Typed again until the server has got as far; a heartbeat may be ten seconds old.
                eventually(lambda said=typed, then=shown: self._run(self._known(said), then))
            else:
                self._run(self._known(typed), shown)

    def look_for(self, text: str) -> None:
        """Expect these lines, in their order, from one of those that keep running."""
        shown = text.splitlines()

        def is_there() -> bool:
            return any(stay.has(shown, self._learnt) for stay in reversed(self._stay))

        eventually(is_there, message=lambda: f"{text}\nin\n{[stay.text for stay in self._stay]}")

    def _known(self, command: str) -> str:
        words = [self._learnt.get(word, word) for word in command.split(" ")]
        if words[0] == "kill":
            # A pid of the page would be a stranger's.
            assert words[-1] in self._learnt.values(), f"{words[-1]} was not shown before"
        return " ".join(words)

    def _run(self, command: str, shown: Sequence[str]) -> bool:
        state = self._home / ".state"
        script = f"{command}\nstatus=$?\n{{ pwd; env -0; }} >{state}\nexit $status"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        where, _, variables = state.read_text().partition("\n")
        self.directory = Path(where)
        pairs = (one.partition("=") for one in variables.split("\0") if one)
        self._environ = {name: value for name, _, value in pairs}
        lines = done.stdout.splitlines()
        end = _match(shown, lines, self._learnt, skips=False)
        assert end is not None, "\n".join(
            ["$ " + command, *lines, "is not what was shown:", *shown]
        )
        return True


class _Stay:
    """A command that keeps a terminal, which is a real one."""

    def __init__(self, command: str, directory: Path, environ: Mapping[str, str]) -> None:
        ours, theirs = os.openpty()
        self._lock = threading.Lock()
        self._text = ""  # guarded by _lock
        self._seen = 0
        is_pipe = "|" in command
        words = ["bash", "-c", command] if is_pipe else ["bash", "-c", f"exec {command}"]
        with os.fdopen(theirs, "wb", closefd=True) as output:
            self._process = leash.start(words, cwd=directory, env=environ, output=output)
        self._reader = threading.Thread(target=self._read, args=(ours,))
        self._reader.start()
        self._is_pipe = is_pipe

    @property
    def text(self) -> str:
        """All that it has written."""
        with self._lock:
            return _COLOUR.sub("", self._text).replace("\r\n", "\n")

    def expect(self, shown: Sequence[str], learnt: dict[str, str]) -> None:
        """Wait for these lines, in their order."""
        eventually(
            lambda: self.has(shown, learnt), message=lambda: "\n".join([*shown, "in", self.text])
        )

    def has(self, shown: Sequence[str], learnt: dict[str, str]) -> bool:
        """Whether it has written these lines after those that were expected before.

        Lines of one process in their order; nobody knows which of two processes is quicker.
        """
        lines = self.text.split("\n")[:-1][self._seen :]
        new: dict[str, str] = {}
        ends = [_match(some, lines, new, skips=True) for some in _by_process(shown)]
        if None in ends:
            return False
        learnt.update(new)
        self._seen += max((end for end in ends if end is not None), default=0)
        return True

    def interrupt(self) -> None:
        """Ctrl-C, which reaches all of a pipe, but of a jobd only the master."""
        with contextlib.suppress(ProcessLookupError):
            if self._is_pipe:
                os.killpg(self._process.pid, signal.SIGINT)
            else:
                self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=60)
        self._reader.join(timeout=60)

    def _read(self, terminal: int) -> None:
        # EIO: the last one that had the other end has closed it; see pty(7).
        with open(terminal, "rb", buffering=0) as stream, contextlib.suppress(OSError):
            while some := stream.read(65536):
                with self._lock:
                    self._text += some.decode(errors="replace")


def _commands(console: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block and the lines that are shown below it."""
    typed: str | None = None
    shown: list[str] = []
    for line in console.splitlines():
        if line.startswith("$ ") or line == "^C":
            if typed is not None:
                yield typed, shown
            typed, shown = line.removeprefix("$ "), []
        else:
            shown.append(line)
    assert typed is not None, f"no command in {console!r}"
    yield typed, shown


def _by_process(shown: Sequence[str]) -> list[list[str]]:
    """The lines of each process; one that names none goes with the line before it."""
    found: dict[str, list[str]] = {}
    pid = ""
    for line in shown:
        named = _PID.search(line)
        pid = named[1] if named else pid
        found.setdefault(pid, []).append(line)
    return list(found.values())


def _match(
    shown: Sequence[str], actual: Sequence[str], learnt: dict[str, str], *, skips: bool
) -> int | None:
    """How many lines the shown ones took, or None; with ``skips``, others may be in between."""
    new: dict[str, str] = {}
    at = 0
    may_skip = skips
    for line in shown:
        if line == "...":
            may_skip = True
            continue
        found = _next(line, actual[at:] if may_skip else actual[at : at + 1], new)
        if found is None:
            return None
        at += found + 1
        may_skip = skips
    if not may_skip and at != len(actual):
        return None
    learnt.update(new)
    return at


def _next(shown: str, actual: Sequence[str], learnt: dict[str, str]) -> int | None:
    expected, names = pattern(shown.strip())
    for number, line in enumerate(actual):
        if found := expected.fullmatch(line.strip()):
            learnt.update(zip(names, found.groups(), strict=True))
            return number
    return None
