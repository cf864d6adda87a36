"""How long recoveries took: ``python -m tests.faults.times FILE`` after tests with the file.

``JOBD_FAULTS_TIMES=FILE pytest tests/faults`` appends to it. Measured is from the last fault, or
its end, until the next job begins (a short one: ends). The lives of heartbeats are as short as
`rigged` has them.
"""

import re
import statistics
import sys
from collections import defaultdict
from pathlib import Path

if __name__ == "__main__":
    found: dict[str, list[float]] = defaultdict(list)
    for test, seconds in (line.split("\t") for line in Path(sys.argv[1]).read_text().splitlines()):
        for fault in re.findall(r"_([A-F]\d+)(?=_)", test.split("::")[1]):
            found[fault].append(float(seconds))
    for fault, times in sorted(found.items(), key=lambda each: (each[0][0], int(each[0][1:]))):
        middle, worst = statistics.median(times), max(times)
        print(f"{fault:4} {middle:.2f} / {worst:.2f} (n = {len(times)})")  # noqa: T201
