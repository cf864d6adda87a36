"""Configuration: what every process was started with, and whether they all run the same version."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, cast

import msgspec

from jobd._version import __version__
from jobd.api import Capsule, Process, StrayGroup, Strays, stray_keys
from jobd.web.inert import cut
from jobd.web.redaction import MASK, preview
from jobd.web.search import BUDGET_S
from jobd.web.site import View, Visit

_MOST: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """Processes of one program, version and revision of the application (of jobd's only)."""

    program: str
    version: str
    revision: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationRow:
    """What processes tell of their settings; those that tell the same share a row."""

    identities: Sequence[str]
    program: str
    version: str
    tag: str
    labels: Sequence[str]
    concurrency: int
    capsules: Sequence[Capsule]
    settings: Mapping[str, str]
    started_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The page.

    Attributes:
        is_skewed: jobd's processes, or Ruby's, are not all of one version.
        skewed_tags: of jobd's processes that do not all run one revision of their application.
        strays: keys of nobody's, if they were asked for.
        here: the settings of this dashboard, secrets masked.
    """

    versions: Sequence[VersionRow]
    is_skewed: bool
    skewed_tags: Sequence[str]
    rows: Sequence[ConfigurationRow]
    more: int
    strays: Strays | None
    here: Mapping[str, str]


def configuration(visit: Visit) -> View:
    """The page."""
    every = visit.processes
    counts: dict[tuple[str, str, str], int] = {}
    alike: dict[object, list[Process]] = {}
    for process in every:
        kind = (_program(process), process.version, process.revision)
        counts[kind] = counts.get(kind, 0) + 1
        alike.setdefault((kind, process.tag, process.labels, repr(process.capsules)), []).append(
            process
        )
    versions = {(program, version) for program, version, _ in counts}
    revisions = {(process.tag, process.revision) for process in every if process.revision}
    groups = list(alike.values())
    return View(
        "configuration",
        Configuration(
            versions=[
                VersionRow(
                    program=program, version=version, revision=cut(revision, 40), count=count
                )
                for (program, version, revision), count in sorted(counts.items())
            ],
            is_skewed=bool(_twice(program for program, _ in versions)),
            skewed_tags=_twice(tag for tag, _ in revisions),
            rows=[_row(group) for group in groups[:_MOST]],
            strays=_strays(visit),
            more=max(len(groups) - _MOST, 0),
            here=_here(visit),
        ),
    )


def _twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _program(process: Process) -> str:
    return "jobd" if process.is_jobd else "sidekiq"


def _row(alike: Sequence[Process]) -> ConfigurationRow:
    first = alike[0]
    return ConfigurationRow(
        identities=[process.identity for process in alike],
        program=_program(first),
        version=first.version,
        tag=first.tag,
        labels=first.labels,
        concurrency=first.concurrency,
        capsules=first.capsules,
        settings=_settings(first),
        started_at=min((each.started_at for each in alike if each.started_at), default=None),
    )


def _settings(process: Process) -> dict[str, str]:
    """As the first of them was started with, passwords masked; Ruby's tell none."""
    instance = process.instance() if process.is_jobd else None
    told = "" if instance is None else instance.facts.get("config", "")
    try:
        found: object = msgspec.json.decode(told or "{}")
    except (ValueError, RecursionError):
        return {}
    return dict(_flat(cast("dict[str, object]", found), "")) if isinstance(found, dict) else {}


def _flat(settings: Mapping[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(cast("dict[str, object]", value), f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", preview(value, 300)


def _strays(visit: Visit) -> Strays | None:
    """A look from where the last one stopped; none with each refresh of an open page."""
    start = visit.text("strays")
    if not (start.isdecimal() and len(start) <= 20):
        return None
    found = stray_keys(start=start, budget_s=BUDGET_S, access=visit.access)
    groups = [
        StrayGroup(prefix=cut(each.prefix, 100), count=each.count, example=cut(each.example, 200))
        for each in found.groups[:_MOST]
    ]
    return replace(found, groups=groups)


def _here(visit: Visit) -> dict[str, str]:
    settings = visit.site.settings
    return {
        "version": __version__,
        "authenticate": MASK if settings.authenticate else visit.site.door,
        "read_only": str(settings.read_only).lower(),
        "allowed_hosts": ", ".join(settings.allowed_hosts),
        "redact": ", ".join(settings.redact),
        "redactor": "yes" if settings.redactor else "no",
        "refresh_s": f"{settings.refresh_s:g}",
        "patience_s": f"{settings.patience_s:g}",
    }
