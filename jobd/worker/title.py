"""What ``ps`` shows of a worker; half a microsecond each time."""

from setproctitle import setproctitle


def show(number: int, state: str) -> None:
    """``jobd: worker 2 [idle]``."""
    # A title is a C string, and the name of a job may be anything.
    setproctitle(f"jobd: worker {number} [{state}]".replace("\0", "?"))


def show_job(number: int, name: str, began_s: float) -> None:
    """``jobd: worker 2 [MoodSenderJob since 14:02:07]``, in UTC like the log.

    Args:
        number: of the worker.
        name: of the job.
        began_s: epoch seconds.
    """
    s = int(began_s) % 86_400
    show(number, f"{name} since {s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}")
