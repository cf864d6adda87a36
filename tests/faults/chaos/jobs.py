"""The jobs of a run: each writes down when it begins and ends, in a file and never in Redis.

The file is named by ``CHAOS_RECORD``; a line is ``S|F|X jid pid nanoseconds`` of the monotonic
clock, which all processes of the machine share. S starts, F finishes, X fails as it should.
"""

import asyncio
import ctypes
import os
import time

from jobd import Job

_RECORD = os.open(os.environ["CHAOS_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_FAILED = os.environ["CHAOS_RECORD"] + ".failed"


def note(letter: str, jid: str) -> None:
    """One line in one write(2): those of many processes stay whole."""
    os.write(_RECORD, f"{letter} {jid} {os.getpid()} {time.monotonic_ns()}\n".encode())


class Noted(Job):
    """Fails, dies or goes well, and notes that."""

    retry = 10

    def _end(self, how: str) -> None:
        if how == "segfault":
            ctypes.string_at(0)
        if how == "fails once" and self._is_first():
            note("X", str(self.jid))
            raise ValueError(how)
        note("F", str(self.jid))

    def _is_first(self) -> bool:
        os.makedirs(_FAILED, exist_ok=True)  # noqa: PTH103
        try:
            os.close(os.open(f"{_FAILED}/{self.jid}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    @classmethod
    def retry_in(cls, *_: object) -> int:
        """A second later."""
        return 1


class Work(Noted):
    """Takes so many milliseconds."""

    def perform(self, ms: float, how: str = "well") -> None:
        """Args: how: ``well``, ``fails once``, or how to take the worker along."""
        note("S", str(self.jid))
        if ms:
            time.sleep(ms / 1000)
        self._end(how)


class AsyncWork(Noted):
    """Takes so many milliseconds, beside others in the loop of its worker."""

    async def perform(self, ms: float, how: str = "well") -> None:
        """Args: how: as in `Work`."""
        note("S", str(self.jid))
        await asyncio.sleep(ms / 1000)
        self._end(how)
