"""Whose coverage is measured: that of the tests' own process, and of others where it is asked for.

Measuring makes a process start a quarter of a second later and run at half the speed, and hundreds
are started.
"""

import os

_NAME = "COVERAGE_PROCESS_CONFIG"
_CONFIG = os.environ.get(_NAME)  # set by coverage, for the processes that ours starts


def processes(*, is_wanted: bool) -> None:
    """Have processes that are started from now on measured, or not."""
    if _CONFIG is not None and is_wanted:
        os.environ[_NAME] = _CONFIG
    else:
        os.environ.pop(_NAME, None)
