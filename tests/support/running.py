"""A slot that shows a running job, as a worker makes it."""

from jobd.scoreboard import SlotWriter


def show_job(pen: SlotWriter, queue: str, name: str, jid: str, started: float) -> None:
    """Have a page show a job; its fingerprint is that of its jid."""
    pen.hold(jid.encode(), started)
    pen.start(queue, name, jid)
