"""How a line of the log looks: for eyes, for grep, for machines.

Values come from payloads, so from anybody: control characters are escaped, and a line break in a
value cannot begin a line of its own. Nothing is written here; `jobd.log` does that.
"""

import json
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import NamedTuple, Protocol, TypeAlias

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "fatal": 50}

# A value longer than this is cut: a line must stay something that one can read and ship.
LONGEST_VALUE = 16_384

# Of syslog, as journald takes them from the start of a line; see sd-daemon(3).
_PRIORITIES = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>", "fatal": "<2>"}

_COLORS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m"}
_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


JobContext: TypeAlias = tuple[str, str, str]
"""The job that runs here: jid, name, queue. Every line written meanwhile carries it.

A plain tuple: most jobs write no line, and anything else costs more to make than all the rest.
"""


class Line(NamedTuple):
    """One event before it is put into a format."""

    stamp: str
    pid: int
    level: str
    text: str
    fields: Mapping[str, object]
    stack: str


_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    0x09: "\\t",
    0x0A: "\\n",
    0x0D: "\\r",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
_QUOTED = _ESCAPES | {0x22: '\\"', 0x5C: "\\\\"}
_NEEDS_QUOTES = frozenset(' ="\\') | frozenset(map(chr, _ESCAPES))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    if len(text) > LONGEST_VALUE:
        return f"{text[:LONGEST_VALUE]}... ({len(text) - LONGEST_VALUE} characters more)"
    return text


def _quote(value: object) -> str:
    text = _text(value)
    if text and _NEEDS_QUOTES.isdisjoint(text):
        return text
    return f'"{text.translate(_QUOTED)}"'


def _pairs(fields: Mapping[str, object]) -> str:
    return "".join(f" {name}={_quote(value)}" for name, value in fields.items())


def _json_value(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float) else _text(value)


_dump = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
# JSON allows these raw, but some break lines and others drive terminals.
_JSON_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(127, 160), 0x2028, 0x2029)}


def _to_json(value: object) -> str:
    return _dump(value).translate(_JSON_ESCAPES)


# Names of jobs and queues are few and repeat; a jid is looked at each time.
_quote_name = lru_cache(maxsize=1024)(_quote)
_json_name = lru_cache(maxsize=1024)(_to_json)


class Format(Protocol):
    """How a line looks; two ways in, because a job's line is worth building in one expression."""

    def line(self, line: Line) -> str:
        """Any event, with its line break."""
        ...

    def job(self, stamp: str, pid: int, text: str, job: JobContext, elapsed: str) -> str:
        """A line of level info about the running job; ``elapsed`` is empty at its start."""
        ...


class Pretty:
    """For eyes: the stack of an error follows, indented."""

    def __init__(self, *, is_colored: bool) -> None:
        self._levels = {name: f"{name.upper():<7}" for name in LEVELS}
        if is_colored:
            self._levels = {
                name: f"{_COLORS.get(name, _RED)}{padded}{_PLAIN}"
                for name, padded in self._levels.items()
            }

    def line(self, line: Line) -> str:
        """``TIME pid=N LEVEL text key=value ...``."""
        head = f"{line.stamp} pid={line.pid} {self._levels[line.level]}"
        text = f"{head} {_text(line.text).translate(_ESCAPES)}{_pairs(line.fields)}\n"
        for below in line.stack.splitlines():
            text += f"    {below.translate(_ESCAPES)}\n"
        return text

    def job(self, stamp: str, pid: int, text: str, job: JobContext, elapsed: str) -> str:
        """``TIME pid=N INFO done class=... jid=... queue=... elapsed=...``."""
        jid, name, queue = job
        jid = jid if jid.isalnum() else _quote(jid)
        return (
            f"{stamp} pid={pid} {self._levels['info']} {text} class={_quote_name(name)} "
            f"jid={jid} queue={_quote_name(queue)}{' elapsed=' if elapsed else ''}{elapsed}\n"
        )


class Logfmt:
    """For grep: ``key=value`` and nothing else; a stack is one quoted value."""

    def line(self, line: Line) -> str:
        """``ts=TIME level=LEVEL pid=N msg=text key=value ...``."""
        stack = _pairs({"stack": line.stack}) if line.stack else ""
        return (
            f"ts={line.stamp} level={line.level} pid={line.pid} msg={_quote(line.text)}"
            f"{_pairs(line.fields)}{stack}\n"
        )

    def job(self, stamp: str, pid: int, text: str, job: JobContext, elapsed: str) -> str:
        """The same order of keys as `line`."""
        jid, name, queue = job
        jid = jid if jid.isalnum() else _quote(jid)
        return (
            f"ts={stamp} level=info pid={pid} msg={text} class={_quote_name(name)} "
            f"jid={jid} queue={_quote_name(queue)}{' elapsed=' if elapsed else ''}{elapsed}\n"
        )


class Json:
    """For machines: one object a line."""

    def line(self, line: Line) -> str:
        """``{"ts": TIME, "level": ..., "pid": N, "msg": text, ...}``."""
        whole: dict[str, object] = {
            "ts": line.stamp,
            "level": line.level,
            "pid": line.pid,
            "msg": _text(line.text),
        }
        whole |= {name: _json_value(value) for name, value in line.fields.items()}
        if line.stack:
            whole["stack"] = _text(line.stack)
        return f"{_to_json(whole)}\n"

    def job(self, stamp: str, pid: int, text: str, job: JobContext, elapsed: str) -> str:
        """The same order of keys as `line`."""
        jid, name, queue = job
        jid = f'"{jid}"' if jid.isalnum() else _to_json(jid)
        took = f',"elapsed":{elapsed}' if elapsed else ""
        return (
            f'{{"ts":"{stamp}","level":"info","pid":{pid},"msg":"{text}",'
            f'"class":{_json_name(name)},"jid":{jid},"queue":{_json_name(queue)}{took}}}\n'
        )


class Undated(Logfmt):
    """The same for a reader that notes the time itself."""

    def line(self, line: Line) -> str:
        """``level=LEVEL pid=N msg=text key=value ...``."""
        return super().line(line).partition(" ")[2]

    def job(self, stamp: str, pid: int, text: str, job: JobContext, elapsed: str) -> str:
        """The same order of keys as `line`."""
        return super().job(stamp, pid, text, job, elapsed).partition(" ")[2]


class Journal:
    """For journald: any other format, each line with its priority in front."""

    def __init__(self, form: Format) -> None:
        self._form = form

    def line(self, line: Line) -> str:
        """``<6>`` and what the format makes of it, which may be several lines."""
        lines = self._form.line(line).removesuffix("\n").split("\n")
        return "".join(f"{_PRIORITIES[line.level]}{each}\n" for each in lines)

    def job(self, stamp: str, pid: int, text: str, job: JobContext, elapsed: str) -> str:
        """``<6>`` and one line."""
        return _PRIORITIES["info"] + self._form.job(stamp, pid, text, job, elapsed)
