"""Pushing when a transaction of Django's commits; see ``jobd.contrib.on_commit``."""

from collections.abc import Callable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.connection import ConnectionDoesNotExist

from jobd.contrib import on_commit
from jobd.contrib.django import in_tests
from jobd.contrib.django.preferences import enqueue_on_commit
from jobd.errors import InvalidJob


class OnCommitClient(on_commit.OnCommitClient):
    """The option is True, False, or the alias of a database; by default it is the setting's."""

    def open_transaction(self, choice: object) -> str | None:
        """The database whose open transaction a push has to wait for, or None."""
        if choice is None:
            choice = enqueue_on_commit()
        if choice is False:
            return None
        alias = DEFAULT_DB_ALIAS if choice is True else choice
        try:
            connection: Any = connections[alias]
        except (ConnectionDoesNotExist, TypeError):
            raise InvalidJob(
                f"{on_commit.OPTION}: True, False or an alias of DATABASES, not {choice!r}"
            ) from None
        return str(alias) if in_tests.is_in_transaction(connection) else None

    def on_commit(self, function: Callable[[], object], transaction: str) -> None:
        """Call the function when the transaction of this database commits."""
        in_tests.on_commit(function, transaction)
