"""Where the private store of a directory is: the same answer for jobd, its clients and jobctl.

Names, and whether others could have been there first; nothing is created or read here.
"""

import hashlib
import os
import stat
from pathlib import Path
from urllib.parse import quote

STATE_DIRECTORY = ".jobd"

# sun_path of unix(7) has 108 bytes, the last of them for the NUL.
LONGEST_SOCKET_PATH = 107

_FALLBACK = Path("/tmp")  # noqa: S108 - see is_private


def state_directory(directory: Path) -> Path:
    """The folder of the private store of the project in ``directory``."""
    return Path(os.path.realpath(directory)) / STATE_DIRECTORY


def socket_path(directory: Path) -> Path:
    """The store's Unix socket: in the state directory, or in /tmp if that lies too deep.

    Not in ``tempfile.gettempdir()``: a client with another TMPDIR would look elsewhere.
    """
    path = state_directory(directory) / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return _FALLBACK / f"jobd-{os.geteuid()}" / f"{name}.sock"


def embedded_url(directory: Path) -> str:
    """The URL under which everybody reaches the store of ``directory``."""
    return f"unix://{quote(str(socket_path(directory)))}?db=0"


def is_private(directory: Path) -> bool:
    """Whether only this user can have put anything there; a symlink is no such directory.

    Raises:
        FileNotFoundError: there is none.
    """
    found = directory.lstat()
    is_open = found.st_mode & 0o077
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not is_open
