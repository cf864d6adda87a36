"""Context variables that travel with a job, from who pushes it to where it runs.

In the payload they are ``cattr``, an object of names and values. It is written once, so a retry has
what the first push had; what a job pushes in its turn has it too.

Source: Sidekiq's lib/sidekiq/middleware/current_attributes.rb.
"""

from collections.abc import Mapping
from contextvars import ContextVar, copy_context
from typing import Any, Final, cast

from jobd.app import App, current_app  # noqa: TID251 - what is declared is the application's
from jobd.errors import ConfigError
from jobd.middleware import ClientCall, ServerCall
from jobd.payload import Payload

FIELD: Final = "cattr"


def carry(*variables: ContextVar[Any]) -> None:
    """Have jobs carry these variables; their values must be what JSON can carry.

    Call it where they are made, in a module that both those who push and the server import. A
    variable that is not set at a push is not carried. A job runs in a context of its own: what it
    sets ends with it.

    Raises:
        ConfigError: another variable of that name is carried already.
    """
    app = current_app()
    for variable in variables:
        if app.carried.get(variable.name, variable) is not variable:
            problem = f'two context variables are called "{variable.name}": rename one of them'
            raise ConfigError([problem])
        app.carried[variable.name] = variable
    carrier = Carrier(app)
    if Carrier not in app.client_middleware:
        app.client_middleware.add(carrier)
        app.server_middleware.prepend(carrier.restore)


class Carrier:
    """The middleware of both sides; called, it is the client's.

    Args:
        app: whose variables travel.
    """

    def __init__(self, app: App) -> None:
        self._carried: Mapping[str, ContextVar[Any]] = app.carried

    def __call__(self, payload: Payload, proceed: ClientCall) -> Payload | None:
        """Write what is set into the payload, unless it has something already."""
        if FIELD not in payload:
            here = copy_context()
            values = {name: here[var] for name, var in self._carried.items() if var in here}
            if values:
                payload[FIELD] = values
        return proceed(payload)

    def restore(self, job: Any, payload: Payload, proceed: ServerCall) -> None:
        """Run the job with what its payload says; names that nobody declares are left alone."""

        def run() -> None:
            for name, value in self._values(payload).items():
                if (variable := self._carried.get(name)) is not None:
                    variable.set(value)
            proceed(job, payload)

        copy_context().run(run)

    def _values(self, payload: Payload) -> Mapping[str, Any]:
        values = payload.get(FIELD)
        return cast("Mapping[str, Any]", values) if isinstance(values, dict) else {}
