"""What ``perform`` returns, remembered for a job with ``result_ttl``; jobd.results keeps it."""

from typing import Any


def remember(job: Any) -> None:
    """Have this instance of a job remember in ``__returned__`` what its ``perform`` returns."""
    perform = job.perform

    def remembering(*args: Any) -> Any:
        job.__returned__ = perform(*args)
        return job.__returned__

    job.perform = remembering
