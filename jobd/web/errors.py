"""What ends a request to the dashboard early; each becomes a page that says so."""

from jobd.errors import JobdError


class Refused(JobdError):
    """A request that is not carried out.

    Attributes:
        key: of the text that says why.
        status: of HTTP.
    """

    status = 403

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(key)


class NotFound(Refused):
    """What was asked for is not there, or not any more."""

    status = 404


class BadForm(Refused):
    """A form that cannot be taken as it is."""

    status = 400
