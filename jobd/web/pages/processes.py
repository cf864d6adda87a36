"""Processes: who works where, how they are, and the commands that steer them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobd.api import Capsule, Instance, Process, ProcessSet, Worker
from jobd.api.replies import document, mapping, string
from jobd.web.errors import BadForm, NotFound
from jobd.web.inert import cut
from jobd.web.site import Done, View, Visit, leaf

ALL = "all"
_ACTS = {
    "quiet": Process.quiet,
    "resume": Process.resume,
    "reload": Process.reload,
    "stop": Process.stop,
    "dump": Process.dump,
}
_STALE_S = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow:
    """An instance.

    Attributes:
        revision: of the application; empty if nothing tells.
        pss_kb: its memory with shared pages counted once; 0 if not known.
        metrics_url: where Prometheus finds its metrics; empty if it serves none, or on a socket.
        state: ``running``, ``quiet``, ``stopping`` or ``silent`` (its heartbeat is late).
        workers: of jobd; empty for Ruby, whose threads tell nothing of themselves.
        restarts: how often a worker was replaced.
        last_exit: how the last one that was replaced ended.
        done: how many jobs its present workers have run.
        reload_error: why the last reload or roll changed nothing; empty if it did, or none was.
        acts: what can be asked of it.
    """

    identity: str
    hostname: str
    pid: int
    tag: str
    labels: Sequence[str]
    version: str
    revision: str
    is_jobd: bool
    is_leader: bool
    is_embedded: bool
    state: str
    started_at: datetime | None
    concurrency: int
    busy: int
    rss_kb: int
    pss_kb: int
    metrics_url: str
    rtt_us: int
    beat_age_s: float
    capsules: Sequence[Capsule]
    workers: Sequence[Worker]
    restarts: int
    last_exit: str
    done: int
    failed: int
    reload_error: str
    acts: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The instances of a machine."""

    name: str
    processes: Sequence[ProcessRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The page.

    Attributes:
        hosts: of this page.
        total: how many processes there are.
        is_open: workers are shown at once, since there are few.
    """

    hosts: Sequence[Host]
    total: int
    concurrency: int
    busy: int
    rss_kb: int
    page: int
    pages: int
    is_open: bool


_PAGE = 25
_FEW = 4
_ANY = ("", "0.0.0.0", "[::]")  # noqa: S104 - nothing is bound here


def processes(visit: Visit) -> View:
    """The page."""
    every = sorted(visit.processes, key=lambda process: (process.hostname, process.identity))
    page, pages = leaf(visit, len(every), _PAGE)
    hosts: dict[str, list[ProcessRow]] = {}
    for process in every[(page - 1) * _PAGE : page * _PAGE]:
        hosts.setdefault(process.hostname, []).append(_row(visit, process))
    return View(
        "processes",
        Processes(
            hosts=[Host(name=name, processes=rows) for name, rows in hosts.items()],
            total=len(every),
            concurrency=sum(process.concurrency for process in every),
            busy=sum(process.busy for process in every),
            rss_kb=sum(process.rss_kb for process in every),
            page=page,
            pages=pages,
            is_open=len(every) <= _FEW,
        ),
    )


def act_on_process(visit: Visit) -> Done:
    """Send one instance, or all that obey, a command."""
    act, identity = visit.field("act"), visit.field("identity")
    if act not in _ACTS:
        raise BadForm("bad.act")
    every = ProcessSet(access=visit.access)
    if identity == ALL:
        chosen = [process for process in every if act in acts_of(process)]
    else:
        chosen = [process for process in (every.find(identity),) if process is not None]
    if not chosen:
        raise NotFound("missing.process")
    for process in chosen:
        _ACTS[act](process)
    visit.note(act, identity, len(chosen))
    return Done("/processes", act, len(chosen))


def acts_of(process: Process) -> list[str]:
    """What can be asked of an instance."""
    if process.is_embedded:
        return []
    first = "resume" if process.is_quiet else "quiet"
    acts = [first, "stop", "dump", "reload"]
    return [act for act in acts if act not in {"resume", "reload"} or process.is_jobd]


def _row(visit: Visit, process: Process) -> ProcessRow:
    instance = process.instance() if process.is_jobd else None
    workers = () if instance is None else instance.workers
    state = "" if instance is None else instance.state
    if not state:
        state = "quiet" if process.is_quiet else "running"
    exits = [worker.last_exit for worker in workers if worker.last_exit]
    return ProcessRow(
        identity=process.identity,
        hostname=process.hostname,
        pid=process.pid,
        tag=process.tag,
        labels=process.labels,
        version=process.version,
        revision=cut(process.revision, 40),
        is_jobd=process.is_jobd,
        is_leader=process.is_leader,
        is_embedded=process.is_embedded,
        state="silent" if process.beat_age_s > _STALE_S else state,
        started_at=process.started_at,
        concurrency=process.concurrency,
        busy=process.busy,
        rss_kb=process.rss_kb,
        pss_kb=process.pss_kb,
        metrics_url=_metrics_url(process, instance),
        rtt_us=process.rtt_us,
        beat_age_s=process.beat_age_s,
        capsules=process.capsules,
        workers=workers,
        restarts=sum(worker.restarts for worker in workers),
        last_exit=exits[-1] if exits else "",
        done=sum(worker.processed for worker in workers),
        failed=sum(worker.failed for worker in workers),
        reload_error=_reload_error(instance),
        acts=visit.allowed(acts_of(process)),
    )


def _metrics_url(process: Process, instance: Instance | None) -> str:
    """By the setting ``health``; a listener on all addresses is found under the host's name."""
    facts = {} if instance is None else instance.facts
    config = mapping(document(facts.get("config", "").encode("utf-8", "replace")))
    host, _, port = string(config.get("health")).rpartition(":")
    if "/" in host or not port.isdecimal():
        return ""
    return f"http://{process.hostname if host in _ANY else host}:{port}/metrics"


def _reload_error(instance: Instance | None) -> str:
    if instance is None or instance.facts.get("reload") != "failed":
        return ""
    return cut(instance.facts.get("reload_text", ""), 300)
