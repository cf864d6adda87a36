"""How long recoveries took: ``python -m tests.faults.times FILE`` after tests with the file.

``JOBD_FAULTS_TIMES=FILE pytest tests/faults`` appends to it. Measured is from the last fault, or
its end, until the next job begins (a short one: ends). The lives of heartbeats are as short as
`rigged` has them.
"""

import os
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE = "JOBD_FAULTS_TIMES"


_HELD = {("done", "Hold")}


def note(struck: Sequence[float], runs: Sequence[dict[str, Any]]) -> None:
    """Append how long the recovery took that the running test has seen, if a file is named.

    Args:
        struck: when something was done, in epoch seconds.
        runs: what the jobs wrote down.
    """
    if FILE not in os.environ:
        return
    # Of a job that waits to be released the end is the test's doing.
    begun = [run["at_ms"] / 1000 for run in runs if (run["event"], run["class"]) not in _HELD]
    last = max((at for at in struck if at < max(begun, default=0)), default=None)
    if last is not None:
        took_s = min(at for at in begun if at > last) - last
        with Path(os.environ[FILE]).open("a") as file:
            file.write(f"{os.environ['PYTEST_CURRENT_TEST']}\t{took_s:.3f}\n")


if __name__ == "__main__":
    found: dict[str, list[float]] = defaultdict(list)
    for test, seconds in (line.split("\t") for line in Path(sys.argv[1]).read_text().splitlines()):
        for fault in re.findall(r"_([A-F]\d+)(?=_)", test.split("::")[1]):
            found[fault].append(float(seconds))
    for fault, times in sorted(found.items(), key=lambda each: (each[0][0], int(each[0][1:]))):
        middle, worst = statistics.median(times), max(times)
        print(f"{fault:4} {middle:.2f} / {worst:.2f} (n = {len(times)})")  # noqa: T201
