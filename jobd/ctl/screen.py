"""The screen of ``jobctl top``, drawn with rich (the extra ``tui``). No keys, no Redis."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobd.api import Process, QueueSummary, Work
from jobd.ctl.glimpse import Glimpse, Rates
from jobd.ctl.panel import HELP, HELP_EVERYWHERE, Panel
from jobd.ctl.words import cut, duration, safe

_FIXED_LINES = 11
"""Everything but rows: counters, heads, blank lines, help."""
_WIDEST = 60


def draw(glimpse: Glimpse, rates: Rates, panel: Panel, *, url: str, height: int) -> RenderableType:
    """The whole screen, in at most this many lines."""
    room = max(3, height - _FIXED_LINES)
    share = max(1, room // 3)
    queues = min(len(glimpse.queues), share)
    processes = min(len(glimpse.processes), share)
    works = max(1, room - queues - processes)
    return Group(
        _head(glimpse, url),
        _counters(glimpse, rates),
        Text(),
        _queues(glimpse.queues, panel, queues),
        Text(),
        _processes(glimpse.processes, panel, processes),
        Text(),
        _works(glimpse, works),
        Text(),
        _foot(panel),
    )


def _head(glimpse: Glimpse, url: str) -> Text:
    at = datetime.fromtimestamp(glimpse.now_ms / 1000, UTC)
    text = Text()
    text.append("jobd", style="bold green")
    text.append(f"  {safe(url)}  {glimpse.server}  {at:%H:%M:%S}Z", style="dim")
    return text


def _counters(glimpse: Glimpse, rates: Rates) -> Text:
    totals = glimpse.totals
    text = Text()
    for name, number, rate, color in (
        ("processed", totals.processed, rates.processed, "green"),
        ("failed", totals.failed, rates.failed, "red"),
        ("enqueued", totals.enqueued, rates.enqueued, "cyan"),
    ):
        text.append(f"{name} ")
        text.append(f"{number:,}", style=f"bold {color}")
        text.append(f" ({rate:+,.1f}/s)   " if name == "enqueued" else f" ({rate:,.1f}/s)   ")
    concurrency = sum(process.concurrency for process in glimpse.processes)
    text.append(f"busy {totals.busy} of {concurrency}   scheduled {totals.scheduled:,}   ")
    text.append(f"retries {totals.retries:,}   ", style="yellow" if totals.retries else "")
    text.append(f"dead {totals.dead:,}", style="red" if totals.dead else "")
    return text


def _queues(queues: Sequence[QueueSummary], panel: Panel, most: int) -> Table:
    table = _table("queue", ">size", ">latency", "")
    first = _first(panel, "queues", most, len(queues))
    for number, queue in enumerate(queues[first : first + most], first):
        row = (cut(queue.name, _WIDEST), f"{queue.size:,}", duration(queue.latency_s))
        state = Text("paused", style="yellow") if queue.is_paused else Text()
        _add(table, (*map(Text, row), state), is_chosen=_is_at(panel, "queues", number))
    return table


def _processes(processes: Sequence[Process], panel: Panel, most: int) -> Table:
    table = _table("process", "tag", ">busy", ">memory", ">beat", "", "queues")
    first = _first(panel, "processes", most, len(processes))
    for number, process in enumerate(processes[first : first + most], first):
        row = (
            Text(cut(process.identity, _WIDEST)),
            Text(cut(process.tag, 20)),
            Text(f"{process.busy} of {process.concurrency}"),
            Text(f"{process.rss_kb // 1024:,} MB"),
            Text(f"{duration(process.beat_age_s)} ago"),
            Text("quiet" if process.is_quiet else "", style="yellow"),
            Text(cut(", ".join(process.queues), _WIDEST)),
        )
        _add(table, row, is_chosen=_is_at(panel, "processes", number))
    if not processes:
        table.add_row(Text("no process runs here", style="red"))
    return table


def _works(glimpse: Glimpse, most: int) -> Table:
    table = _table("running", "queue", ">since", "jid", "arguments")
    for work in glimpse.works[:most]:
        table.add_row(*_work(work, glimpse.now_ms))
    if len(glimpse.works) > most:
        table.add_row(Text(f"and {len(glimpse.works) - most:,} more", style="dim"))
    if not glimpse.works:
        table.add_row(Text("nothing, as the last heartbeats told", style="dim"))
    return table


def _work(work: Work, now_ms: int) -> Iterable[Text]:
    job = work.record
    age_s = now_ms / 1000 - work.run_at.timestamp() if work.run_at is not None else 0.0
    yield Text(cut(job.display_class, _WIDEST), style="cyan")
    yield Text(cut(work.queue, 20))
    yield Text(duration(max(0.0, age_s)))
    yield Text(cut(job.jid, 24), style="dim")
    yield Text(cut(", ".join(map(repr, job.display_args)), _WIDEST), style="dim")


def _foot(panel: Panel) -> Text:
    if panel.question is not None:
        return Text(f"{panel.question[0]} y / n", style="bold reverse")
    text = Text()
    text.append(f"{panel.trouble}\n" if panel.trouble else "", style="red")
    text.append(f"{panel.said}\n" if panel.said else "", style="bold")
    return text.append(f"{HELP_EVERYWHERE}  {HELP[panel.pane]}", style="dim")


def _table(*heads: str) -> Table:
    table = Table(box=None, pad_edge=False, expand=False, padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(
            head.removeprefix(">"),
            justify="right" if head.startswith(">") else "left",
            no_wrap=True,
            overflow="ellipsis",
            header_style="bold",
        )
    return table


def _add(table: Table, row: Iterable[Text], *, is_chosen: bool) -> None:
    table.add_row(*row, style="reverse" if is_chosen else None)


def _is_at(panel: Panel, pane: str, number: int) -> bool:
    return panel.pane == pane and panel.row == number


def _first(panel: Panel, pane: str, most: int, count: int) -> int:
    """The first row that is shown, so that the cursor's is."""
    if panel.pane != pane:
        return 0
    return max(0, min(panel.row - most + 1, count - most))
