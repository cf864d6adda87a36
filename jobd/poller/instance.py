"""Who an instance is, from its start to its end."""

import msgspec


class Instance(msgspec.Struct, frozen=True):
    """Who an instance is.

    Attributes:
        identity: ``HOST:PID:NONCE``, with the master's pid.
        started_s: epoch seconds.
        is_embedded: it is a part of somebody else's process.
    """

    identity: str
    host: str
    master_pid: int
    started_s: float
    is_embedded: bool = False
