"""What became of a job, kept for as long as its ``result_ttl`` says; for who pushed it.

It is written when the job has ended and before that is settled: so it is there when the job counts
as done, and a worker that is killed in between leaves a job that runs again, whose result replaces
it. A job without ``result_ttl`` keeps nothing and pays nothing.
"""

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from jobd.clock import Clock, SystemClock
from jobd.errors import InvalidArguments, JobFailed, UnfitResult
from jobd.payload import Payload, check_values, encode
from jobd.store import Script, Store

OPTION: Final = "result_ttl"
_KEEP: Final = Script("keep_result")
_FIRST_REST_S: Final = 0.01
_LONGEST_REST_S: Final = 0.25


def keep(store: Store, payload: Payload, record: Mapping[str, Any]) -> bool:
    """Write what became of the job; may be sent again. True, since nobody else can settle it."""
    ttl_s, jid = payload.get(OPTION), payload.get("jid")
    # By a push of ours both are checked; any other client may have written anything.
    if type(ttl_s) is int and ttl_s > 0 and isinstance(jid, str):
        _KEEP.run(store.redis, 1, store.keys.result(jid), encode({**record}), ttl_s)
    return True


def of_done(value: Any) -> dict[str, Any]:
    """The record of a job that returned this, or that says that JSON cannot carry it."""
    record = {"state": "done", "value": value}
    try:
        check_values(record)
        encode(record)
    except InvalidArguments as error:
        return {"state": "unfit", "error_message": str(error)}
    return record


def of_dead(failed: Payload) -> dict[str, Any]:
    """The record of a job that will not be tried again."""
    return {"state": "dead"} | {key: failed.get(key) for key in ("error_class", "error_message")}


class Result:
    """What became of one job, or will.

    Args:
        store: where it is kept.
        jid: of the job.
        clock: for the end of a wait.
    """

    def __init__(self, store: Store, jid: str, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self.jid = jid

    @property
    def is_ready(self) -> bool:
        """Whether the job has ended for good, and its result is still kept; a round trip."""
        return self._read() is not None

    def wait(self, timeout: float | None = None) -> Any:
        """What the job returned, once it has.

        Args:
            timeout: seconds; 0 looks once, None waits for ever.

        Raises:
            TimeoutError: it has not ended; or it keeps no result, or that has run out.
            JobFailed: it failed, and will not be tried again.
            UnfitResult: it returned what JSON cannot carry.
            RedisError: Redis was not reached.
        """
        rests, pause = self._rests(timeout), threading.Event()
        while (record := self._read()) is None:
            pause.wait(next(rests))
        return self._value(record)

    async def wait_async(self, timeout: float | None = None) -> Any:
        """What the job returned, once it has; the loop goes on meanwhile. As ``wait``."""
        import asyncio  # noqa: PLC0415 - slow to import, and loaded already where a loop runs

        rests = self._rests(timeout)
        while (record := await asyncio.to_thread(self._read)) is None:
            await asyncio.sleep(next(rests))
        return self._value(record)

    def _rests(self, timeout: float | None) -> Iterator[float]:
        """Seconds to wait before each further look.

        Raises:
            TimeoutError: there was time for none.
        """
        deadline = float("inf") if timeout is None else self._clock.monotonic() + timeout
        rest_s = _FIRST_REST_S
        while (left_s := deadline - self._clock.monotonic()) > 0:
            yield min(rest_s, left_s)
            rest_s = min(rest_s * 1.5, _LONGEST_REST_S)
        raise TimeoutError(
            f"job {self.jid} has no result yet: it has not ended in {timeout:g} s, or it was "
            "pushed without result_ttl, or that time has run out"
        )

    def _read(self) -> Mapping[str, Any] | None:
        raw = self._store.redis.call("GET", self._store.keys.result(self.jid))
        return None if raw is None else cast("Mapping[str, Any]", msgspec.json.decode(raw))

    def _value(self, record: Mapping[str, Any]) -> Any:
        if record["state"] == "dead":
            raise JobFailed(
                f"job {self.jid} is dead: {record['error_class']}: {record['error_message']}"
            )
        if record["state"] == "unfit":
            raise UnfitResult(f"job {self.jid} is done, but {record['error_message']}")
        return record["value"]
