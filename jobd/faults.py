"""One no-op that tests replace, to stop or kill a process at an exact place."""


def point(name: str) -> None:
    """Pass a place that a fault test may want to stop at."""
