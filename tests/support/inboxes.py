"""The signals of this process, after a test that had them in an inbox."""

import signal

from jobd.signals import SignalInbox


def forget(inbox: SignalInbox) -> None:
    """Close it, and wake it no more.

    Not by its ``close``, which would give signals to this process their default action.
    """
    signal.set_wakeup_fd(-1)
    inbox._reader.close()
    inbox._writer.close()
