import contextlib
import sqlite3

from django.db.backends.sqlite3 import base


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self):
        with contextlib.suppress(sqlite3.ProgrammingError):
            self.connection.execute("SELECT 1")
            return True
        return False
