"""The ``jobd`` command and ``python -m jobd``."""

import gc
import sys
from importlib import import_module


def main() -> int:
    """The console script."""
    # What is imported stays: a twelfth of the start would be spent on looking for garbage in it.
    gc.disable()
    command = import_module("jobd.cli")
    gc.enable()
    status: int = command.main()
    return status


if __name__ == "__main__":
    sys.exit(main())
