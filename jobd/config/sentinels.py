"""The URL of a primary that sentinels know: ``redis+sentinel://[USER:PASSWORD@]HOST:PORT,.../NAME/DB``.

One text for everything, so that it fits ``REDIS_URL``, and is masked and compared like any other.
User, password, database and options are those of the data nodes; for the sentinels' own there are
``?sentinel_user=...&sentinel_password=...``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode

SCHEMES: Final = ("redis+sentinel://", "rediss+sentinel://")
_PORT: Final = 26379
_NODE: Final = re.compile(r"(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>\d{1,5}))?")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_OWN: Final = {"sentinel_user": "username", "sentinel_password": "password"}


@dataclass(frozen=True, slots=True)
class Sentinels:
    """What such a URL says.

    Attributes:
        nodes: host and port of each sentinel.
        master: what they call the primary.
        url: of the primary, with a host that means nothing.
        login: of the sentinels: ``username`` and ``password``, if they were given.
    """

    nodes: tuple[tuple[str, int], ...]
    master: str
    url: str
    login: dict[str, str] = field(repr=False)


def sentinel_url(nodes: Sequence[str], master: str) -> str:
    """The URL for sentinels without any password."""
    return f"{SCHEMES[0]}{','.join(nodes)}/{master}/0"


def sentinels_of(url: str) -> Sentinels | None:
    """Read such a URL; None if it is another kind.

    Raises:
        ValueError: what is wrong with it, without what may be a password.
    """
    if not url.startswith(SCHEMES):
        return None
    scheme, _, rest = url.partition("+sentinel://")
    address, _, query = rest.partition("?")
    login, at, places = address.rpartition("@")
    hosts, _, path = places.partition("/")
    master, _, database = path.partition("/")
    found = [_NODE.fullmatch(node) for node in hosts.split(",")]
    nodes = [(node["host"].strip("[]"), int(node["port"] or _PORT)) for node in found if node]
    if len(nodes) < len(found):
        raise ValueError("the sentinels are named as HOST:PORT,HOST:PORT")
    if not _NAME.fullmatch(master):
        raise ValueError("after the sentinels comes the name of the primary, as in /mymaster/0")
    options = parse_qsl(query)
    own = {_OWN[key]: value for key, value in options if key in _OWN}
    further = urlencode([pair for pair in options if pair[0] not in _OWN])
    primary = f"{scheme}://{login}{at}sentinel/{database}{further and '?' + further}"
    return Sentinels(tuple(nodes), master, primary, own)
