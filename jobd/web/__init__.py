"""The dashboard: an ASGI app that shows what runs, waits and failed, and steers it.

    import jobd.web

    app.mount("/jobs", jobd.web.create_app())               # Starlette, FastAPI
    re_path(r"^jobs/(?P<path>.*)$", jobd.web.django_view()) # Django's urls.py
    app.wsgi_app = jobd.web.beside(app.wsgi_app, "/jobs")   # Flask, any WSGI app

or alone, by ``jobctl web``. It reads and acts through `jobd.api` only, keeps nothing but a few
minutes of samples in memory, and needs no session of its host. Needs the extra ``web``.

Not here: what the numbers mean and how the acts are made safe; both are `jobd.api`'s.
"""

from jobd.web.adapters import beside, create_wsgi_app, django_view
from jobd.web.app import create_app
from jobd.web.password import Password
from jobd.web.settings import ACTS, ROLES, SECRET_WORDS, Authenticate, Redactor, Settings

__all__ = [
    "ACTS",
    "ROLES",
    "SECRET_WORDS",
    "Authenticate",
    "Password",
    "Redactor",
    "Settings",
    "beside",
    "create_app",
    "create_wsgi_app",
    "django_view",
]
