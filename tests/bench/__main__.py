"""The command: ``bin/bench --only CASE|SIDE,... --quick --list``."""

import dataclasses
import datetime as dt
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
import psutil
from redis.exceptions import RedisError

from tests.bench import report
from tests.bench.case import Case
from tests.bench.cases import CASES
from tests.bench.effort import EFFORTS, Effort
from tests.bench.environments import Environments, Unavailable, compile_here
from tests.bench.results import Results
from tests.bench.scale import SCALE_CASES
from tests.bench.side import Side
from tests.bench.sides import APPS, SIDES
from tests.bench.stage import REPOSITORY, Failed, Stage
from tests.support import leash, servers

ALL_CASES = (*CASES, *SCALE_CASES)


def say(text: str) -> None:
    """Progress, on stderr."""
    click.echo(f"bench: {text}", err=True)


def chosen(names: Sequence[str], effort_name: str) -> tuple[tuple[Case, ...], tuple[Side, ...]]:
    """The cases and sides that ``--only`` names; without one of a kind, the usual ones of it.

    Raises:
        click.UsageError: a name is neither.
    """
    known = {case.name for case in ALL_CASES} | {side.name for side in SIDES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"no case and no side: {', '.join(unknown)} (--list shows all)")
    cases = tuple(case for case in ALL_CASES if case.name in names)
    sides = tuple(side for side in SIDES if side.name in names)
    is_full = effort_name == "full"
    usual_cases = tuple(case for case in ALL_CASES if is_full or case.is_quick)
    usual_sides = tuple(side for side in SIDES if is_full or side.is_quick)
    return cases or usual_cases, sides or usual_sides


class Run:
    """All rounds of all cases."""

    def __init__(self, stage: Stage, effort: Effort, results: Results) -> None:
        self._stage = stage
        self._effort = effort
        self._results = results
        self._out: set[str] = set()
        self._deadline_s = float("inf")

    def all(self, cases: Sequence[Case], sides: Sequence[Side]) -> bool:
        """Install what is missing, then measure; interrupted, keep what there is.

        Returns:
            False if it was interrupted.
        """
        try:
            self._install(sides)
            for case in cases:
                self._case(case, sides)
        except KeyboardInterrupt:
            self._leave_out("the rest", "interrupted")
            return False
        return True

    def _install(self, sides: Sequence[Side]) -> None:
        for side in sides:
            try:
                self._stage.programs(side)
            except Unavailable as err:
                self._leave_out(side.name, str(err))
                self._out.add(side.name)
        self._deadline_s = time.monotonic() + (self._effort.budget_s or float("inf"))

    def _case(self, case: Case, sides: Sequence[Side]) -> None:
        if time.monotonic() > self._deadline_s:
            self._leave_out(case.name, "the time was up")
            return
        taking = [side for side in sides if case.takes(side) and side.name not in self._out]
        failed: set[str] = set()
        for round_ in range(self._effort.rounds):
            shift = round_ % max(1, len(taking))  # nobody is always the one after another
            for side in (*taking[shift:], *taking[:shift]):
                if side.name not in failed and not self._once(case, side, round_):
                    failed.add(side.name)

    def _once(self, case: Case, side: Side, round_: int) -> bool:
        if time.monotonic() > self._deadline_s:
            self._leave_out(f"{case.name} of {side.name}", "the time was up")
            return False
        self._stage.reset()
        try:
            found = case.measure(self._stage, self._effort, side)
        except (Failed, ValueError, OSError, psutil.Error, RedisError) as err:
            self._leave_out(f"{case.name} of {side.name}", str(err))
            return False
        for figure in case.figures:
            if figure.name in found:
                self._results.add(case.name, side.name, figure.name, found[figure.name])
        say(f"{case.name} {side.name} {round_ + 1}/{self._effort.rounds}: {report.brief(found)}")
        return True

    def _leave_out(self, what: str, why: str) -> None:
        say(f"{what}: {why}")
        first_line = why.partition("\n")[0]
        self._results.missing.append(f"{what}: {first_line}")


def listing() -> str:
    """All cases and sides, for ``--list``."""
    cases = [f"  {case.name:<14} {case.title}" for case in ALL_CASES]
    sides = [f"  {side.name:<14} {side.settings}" for side in SIDES]
    return "\n".join(["cases", *cases, "sides", *sides])


@click.command()
@click.option("--only", default="", metavar="NAME,...", help="Cases and sides; see --list.")
@click.option("--quick", is_flag=True, help="One short round of the main cases: three minutes.")
@click.option("--effort", type=click.Choice(list(EFFORTS)), help="How much; full by default.")
@click.option("--rounds", type=click.IntRange(min=1), help="Instead of the effort's own number.")
@click.option("--server", type=click.Choice(["valkey", "redis"]), default="valkey")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=REPOSITORY / ".bench",
    help="Folder for the environments, results.json and results.svg.",
)
@click.option("--list", "is_list", is_flag=True, help="Show cases and sides, and leave.")
def bench(
    *,
    only: str,
    quick: bool,
    effort: str | None,
    rounds: int | None,
    server: servers.Kind,
    out: Path,
    is_list: bool,
) -> None:
    """Measure jobd beside other job systems, all on one server of our own."""
    if is_list:
        click.echo(listing())
        return
    effort_name = effort or ("quick" if quick else "full")
    cases, sides = chosen([name for name in only.split(",") if name], effort_name)
    amount = EFFORTS[effort_name]
    if rounds:
        amount = dataclasses.replace(amount, rounds=rounds, budget_s=None)
    leash.adopt_orphans()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = Results()
    compile_here(REPOSITORY / "jobd", APPS)
    environments = Environments(out / "environments", say)
    header = report.Header.of(dt.datetime.now(dt.UTC), effort_name, amount.rounds)
    with servers.running(server) as running:
        header.server = report.server_version(servers.connect(running.url()).info("server"))
        stage = Stage(running, environments, amount.patience_s)
        is_whole = Run(stage, amount, results).all(cases, sides)
    header.add_versions(sides, environments)
    report.write(out, header, cases, sides, results)
    sys.exit(0 if is_whole else 128 + signal.SIGINT)


if __name__ == "__main__":
    bench()
