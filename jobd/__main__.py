"""``python -m jobd``: the same as the ``jobd`` command."""

import sys

from jobd.cli import main

sys.exit(main())
