"""The other end of systemd's notification socket, for jobd processes under test.

Source: sd_notify(3). Every datagram is kept with the pid that the kernel says sent it.
"""

import os
import selectors
import shutil
import socket
import struct
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.eventually import PATIENCE_S, eventually

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


@dataclass(frozen=True, slots=True)
class Notification:
    """One datagram.

    Attributes:
        text: lines of ``NAME=VALUE``.
        pid: of the sender, by SCM_CREDENTIALS.
    """

    text: str
    pid: int

    @property
    def fields(self) -> dict[str, str]:
        """The lines, taken apart."""
        pairs = (line.partition("=") for line in self.text.splitlines())
        return {name: value for name, _, value in pairs}


class NotifySocket:
    """A datagram socket that is read all the time, since the kernel holds only ten datagrams."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="jobd-test-notify-"))
        self.path = self._directory / "socket"
        self._received: list[Notification] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(self.path))
        self._stop_reader, self._stop_writer = os.pipe()
        self._thread = threading.Thread(target=self._read, name="notify", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def messages(self) -> list[Notification]:
        """Return what has come so far, oldest first."""
        return list(self._received)

    def saw(self, line: str) -> bool:
        """Return whether a line such as ``READY=1`` has come."""
        return any(line in message.text.splitlines() for message in self._received)

    def forget(self) -> None:
        """Be as new, for another life of the same process."""
        self._received = []

    def wait_for(self, line: str, timeout: float = PATIENCE_S) -> Notification:
        """Return the first datagram with this line, once it has come."""
        eventually(
            lambda: self.saw(line), timeout=timeout, message=lambda: f"{line}: {self._received}"
        )
        return next(m for m in self._received if line in m.text.splitlines())

    def close(self) -> None:
        """Stop reading and remove the socket."""
        if not self._thread.is_alive():
            return
        os.close(self._stop_writer)
        self._thread.join(timeout=10)
        os.close(self._stop_reader)
        self._socket.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._stop_reader, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._socket in ready:
                    self._receive()
                elif self._stop_reader in ready:
                    return

    def _receive(self) -> None:
        space = socket.CMSG_SPACE(_CREDENTIALS.size)
        text, ancillary, _, _ = self._socket.recvmsg(65_536, space)
        pid = next(
            _CREDENTIALS.unpack(content)[0]
            for level, kind, content in ancillary
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
        )
        self._received.append(Notification(text.decode(), pid))
