"""What systemd is told, by datagrams to the socket that it names in the environment.

Nothing here blocks or fails: without systemd, or with a socket that is full, nothing is sent. The
variables are taken out of the environment, so that no child and no job can speak for the master.

Source: sd_notify(3) and sd_watchdog_enabled(3).
"""

import contextlib
import errno
import os
import socket
from typing import Final

from jobd.clock import Clock

_EXTEND_EVERY_S: Final = 5.0
EXTENSION: Final = "EXTEND_TIMEOUT_USEC=15000000"
"""Asks for the next 15 seconds."""
_ERRNO: Final = {
    os.EX_SOFTWARE: errno.ENOTRECOVERABLE,
    os.EX_CANTCREAT: errno.EEXIST,
    os.EX_TEMPFAIL: errno.EAGAIN,
    os.EX_CONFIG: errno.EINVAL,
}


class Notifier:
    """The way to systemd, or to nobody until `open` has found a socket."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._address = ""
        self._interval_s = 0.0
        self._next_ping = 0.0
        self._next_extension = 0.0

    def open(self) -> None:
        """Take ``NOTIFY_SOCKET`` and ``WATCHDOG_*`` out of the environment."""
        address = os.environ.pop("NOTIFY_SOCKET", "")
        usec = os.environ.pop("WATCHDOG_USEC", "")
        is_ours = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # An abstract socket is written with @ for its NUL.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        if is_ours and usec.isdecimal():
            self._interval_s = int(usec) / 1e6 / 4

    def send(self, *assignments: str) -> None:
        """Send ``NAME=value`` lines as one datagram."""
        if not self._address:
            return
        # A full queue, or a systemd that is just being replaced, is no reason to stop or to wait.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.sendto("\n".join(assignments).encode(), socket.MSG_DONTWAIT, self._address)

    def ping(self) -> None:
        """Tell the watchdog that the loop turns, if that is due."""
        now = self._clock.monotonic()
        if self._address and self._interval_s and now >= self._next_ping:
            self._next_ping = now + self._interval_s
            self.send("WATCHDOG=1")

    def extend(self) -> None:
        """Ask for more time to start or to stop, if that is due: every 5 s.

        While that goes on, TimeoutStartSec= and TimeoutStopSec= do not count.
        """
        now = self._clock.monotonic()
        if self._address and now >= self._next_extension:
            self._next_extension = now + _EXTEND_EVERY_S
            self.send(EXTENSION)

    def reloading(self) -> None:
        """Tell that settings are being read again; READY=1 is to follow, whatever becomes of it."""
        # Without the time of it, Type=notify-reload takes it for an older one, and waits on.
        self.send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1e6)}")

    def failed(self, status: int, why: str) -> None:
        """Tell why the process is about to leave with this exit status.

        Args:
            status: of those in docs/signals.md.
            why: in one line.
        """
        self.send(f"STATUS={why}", f"ERRNO={_ERRNO.get(status, errno.EIO)}")

    def next_ping(self) -> float | None:
        """When a ping will be due, in monotonic seconds; None without a watchdog."""
        return self._next_ping if self._address and self._interval_s else None
