"""Whose coverage is measured: that of the tests' own process, and of others where it is asked for.

Measuring makes a process start a quarter of a second later and run at half the speed. Hundreds are
started; and much of what the tests' own process does adds nothing: it collects the tests, as each
of its neighbours does, and runs many of them over one more server.
"""

import os
import sys
import threading
from typing import Final

_NAME: Final = "COVERAGE_PROCESS_CONFIG"
_CONFIG: Final = os.environ.get(_NAME)  # set by coverage, for the processes that ours starts
_TRACERS: Final = sys.gettrace(), threading.gettrace()  # coverage's, if it measures this one


def processes(*, is_wanted: bool) -> None:
    """Have processes that are started from now on measured, or not."""
    if _CONFIG is not None and is_wanted:
        os.environ[_NAME] = _CONFIG
    else:
        os.environ.pop(_NAME, None)


def ours(*, is_wanted: bool) -> None:
    """Measure this thread and those to come from now on, or do not."""
    # Not by coverage's stop() and start(), which wraps fork and exit once more each time.
    if _CONFIG is not None:
        this_one, to_come = _TRACERS if is_wanted else (None, None)
        sys.settrace(this_one)
        threading.settrace(to_come)
