"""Whose coverage is measured: that of the tests' own process, and of others where it is asked for.

Measuring makes a process start a quarter of a second later and run at half the speed. Hundreds are
started; and much of what the tests' own process does adds nothing: it collects the tests, as each
of its neighbours does, and runs many of them over one more server.
"""

import os
from typing import Final

import coverage

_NAME: Final = "COVERAGE_PROCESS_CONFIG"
_CONFIG: Final = os.environ.get(_NAME)  # set by coverage, for the processes that ours starts
_OURS: Final = coverage.Coverage.current()


def processes(*, is_wanted: bool) -> None:
    """Have processes that are started from now on measured, or not."""
    if _CONFIG is not None and is_wanted:
        os.environ[_NAME] = _CONFIG
    else:
        os.environ.pop(_NAME, None)


def ours(*, is_wanted: bool) -> None:
    """Measure this process from now on, or do not."""
    if _OURS is None or is_wanted == (coverage.Coverage.current() is _OURS):
        return
    if is_wanted:
        _OURS.start()
    else:
        _OURS.stop()
