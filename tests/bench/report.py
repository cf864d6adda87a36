"""The results as text for people and as JSON for machines."""

import datetime as dt
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import psutil

from tests.bench.bar import BARS, PEERS, Verdict, verdict
from tests.bench.case import Case
from tests.bench.chart import svg
from tests.bench.environments import Environments
from tests.bench.figures import Figure, Spread, ratio, shown
from tests.bench.results import Results
from tests.bench.side import Side

OURS = "jobd"
_MOST_LOAD = 0.1
_BUSY = "\n\n**The machine was busy: trust CPU time for each job, not rates and latencies.**"


@dataclass(slots=True, kw_only=True)
class Header:
    """Where and when it was measured.

    Attributes:
        load: average of the minute before it began.
        versions: of what is installed, by environment.
    """

    date: str
    effort: str
    rounds: int
    machine: str
    load: float
    python: str
    server: str = ""
    versions: dict[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])

    @classmethod
    def of(cls, began: dt.datetime, effort: str, rounds: int) -> "Header":
        """Of this machine."""
        memory_gb = psutil.virtual_memory().total / 1e9
        return cls(
            date=began.strftime("%Y-%m-%d %H:%M UTC"),
            effort=effort,
            rounds=rounds,
            machine=f"{os.cpu_count()} cores of {_processor()}, {memory_gb:.0f} GB, "
            f"Linux {platform.release()}",
            load=round(os.getloadavg()[0], 1),
            python=platform.python_version(),
        )

    @property
    def is_busy(self) -> bool:
        """Something else had more than a tenth of the machine."""
        return self.load > _MOST_LOAD * (os.cpu_count() or 1)

    def add_versions(self, sides: Sequence[Side], environments: Environments) -> None:
        """Of jobd's environment and those of the sides."""
        self.versions["jobd"] = _own_versions()
        for section in sorted({side.section for side in sides if side.section}):
            self.versions[section] = environments.versions(section)

    def sentence(self) -> str:
        """All but the versions of libraries."""
        return (
            f"Measured {self.date}, effort {self.effort}, rounds: {self.rounds}, on "
            f"{self.machine}; load average {self.load} before; Python {self.python}; {self.server}."
            + _BUSY
            * self.is_busy
        )


def server_version(info: Mapping[str, str]) -> str:
    """Name and version, from the reply to ``INFO server``."""
    name = info.get("server_name", "redis")
    return f"{name} {info.get(f'{name}_version', info.get('redis_version'))}, loopback TCP"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _own_versions() -> Mapping[str, str]:
    names = ("jobd-server", "redis", "hiredis", "msgspec")
    return {name: importlib.metadata.version(name) for name in names}


def brief(found: Mapping[str, float]) -> str:
    """One measurement in one line."""
    return " ".join(f"{name}={shown(value)}" for name, value in found.items())


def table(case: Case, results: Results) -> list[str]:
    """A case as a table of Markdown: each side's median and spread, and jobd's distance.

    Spread is half the distance between the lowest and the highest round, in percent. The last
    column says how many times better jobd is in the first figure, by rounds.
    """
    first = case.figures[0]
    names = results.measured(case.name, first)
    if not names:
        return []
    units = " | ".join(figure.unit for figure in case.figures)
    rows = [f"| side | {units} | jobd is better by |", f"|---{'|---' * len(case.figures)}|---|"]
    names.sort(key=lambda name: _order(case, name, results))
    for name in names:
        cells = [_cell(results.of(case.name, name, figure.name)) for figure in case.figures]
        rows.append(
            f"| {name} | {' | '.join(cells)} | {_distance(case.name, first, name, results)} |"
        )
    return [f"### {case.name}: {case.title}", "", *rows, ""]


def _order(case: Case, name: str, results: Results) -> float:
    median = Spread.of(results.of(case.name, name, case.figures[0].name)).median
    return -median if case.figures[0].better == "higher" else median


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "–"
    spread = Spread.of(values)
    return (
        f"{shown(spread.median)} ± {spread.percent:.0f} %" if len(values) > 1 else shown(values[0])
    )


def _distance(case: str, figure: Figure, name: str, results: Results) -> str:
    ours, theirs = results.of(case, OURS, figure.name), results.of(case, name, figure.name)
    if not ours or not theirs or name == OURS:
        return ""
    pair = (ours, theirs) if figure.better == "higher" else (theirs, ours)
    return f"{shown(ratio(*pair))} ×"


def bar_table(verdicts: Sequence[Verdict]) -> list[str]:
    """The bar, met or not, a line each."""
    rows = [
        "| case | figure | ours | theirs | wanted | reached | |",
        "|---|---|---|---|---|---|---|",
    ]
    return ["### The bar", "", *rows, *map(_bar_row, verdicts), ""]


def _bar_row(found: Verdict) -> str:
    bar = found.bar
    sign = "≥" if bar.figure.better == "higher" else "≤"
    against = {None: "", PEERS: " × the best peer"}.get(bar.against, f" × {bar.against}")
    ours = "–" if found.ours is None else f"{bar.ours} {shown(found.ours)}"
    theirs = "–" if found.theirs is None else f"{found.theirs[0]} {shown(found.theirs[1])}"
    reached = "–" if found.reached is None else shown(found.reached)
    said = {True: "met", False: "**not met**", None: "not measured"}[found.is_met]
    wanted = f"{sign} {bar.factor:g}{against}"
    return f"| {bar.case} | {bar.figure.unit} | {ours} | {theirs} | {wanted} | {reached} | {said} |"


def text(header: Header, cases: Sequence[Case], sides: Sequence[Side], results: Results) -> str:
    """The whole report, as Markdown."""
    lines = [header.sentence(), ""]
    for case in cases:
        lines += table(case, results)
    lines += bar_table([verdict(bar, results, sides) for bar in BARS])
    lines += ["### Settings", "", "| side | keeps a job at kill -9 | settings |", "|---|---|---|"]
    lines += [_settings_row(side, header) for side in sides]
    if results.missing:
        lines += ["", "### Not measured", "", *(f"- {what}" for what in results.missing)]
    return "\n".join(lines) + "\n"


def _settings_row(side: Side, header: Header) -> str:
    version = header.versions.get(side.section or "", {}).get(side.section or "", "")
    name = f"{side.name} {version}".rstrip()
    return f"| {name} | {'yes' if side.is_safe else 'no'} | {side.settings} |"


def write(
    out: Path, header: Header, cases: Sequence[Case], sides: Sequence[Side], results: Results
) -> None:
    """Print the report, and keep it as ``results.md``, ``results.json`` and ``results.svg``."""
    found = text(header, cases, sides, results)
    document = {
        "header": asdict(header),
        "settings": {side.name: side.settings for side in sides},
        "results": results.values,
        "missing": results.missing,
        "bar": [_bar_json(verdict(bar, results, sides)) for bar in BARS],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.md").write_text(found)
    (out / "results.json").write_text(json.dumps(document, indent=1))
    (out / "results.svg").write_text(svg(f"bin/bench, {header.date}", cases, results))
    click.echo(found)
    click.echo(f"bench: also in {out}/results.md, results.json and results.svg", err=True)


def _bar_json(found: Verdict) -> Mapping[str, object]:
    bar = found.bar
    return {
        "case": bar.case,
        "figure": bar.figure.name,
        "ours": bar.ours,
        "against": bar.against,
        "theirs": found.theirs[0] if found.theirs else None,
        "wanted": bar.factor,
        "reached": found.reached,
        "is_met": found.is_met,
    }
