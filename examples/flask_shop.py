"""A Flask app with a job.

flask --app examples/flask_shop.py jobd      in one terminal
flask --app examples/flask_shop.py run       in another one
curl -d email=ada@example.com http://127.0.0.1:5000/signup
"""

from flask import Flask, current_app, request

from jobd import Job
from jobd.contrib.flask import Jobd

jobd = Jobd()


class SendWelcome(Job):
    """Would send a mail."""

    def perform(self, email: str) -> None:
        """Log what would be sent, with a setting of the app."""
        self.logger.info("%s writes to %s", current_app.config["MAIL_SENDER"], email)


def create_app() -> Flask:
    """Make the app, as each process does for itself."""
    app = Flask("shop")
    app.config["MAIL_SENDER"] = "shop@example.com"
    jobd.init_app(app)

    @app.post("/signup")
    def signup() -> tuple[dict[str, str | None], int]:
        return {"jid": SendWelcome.perform_async(request.form["email"])}, 202

    return app
