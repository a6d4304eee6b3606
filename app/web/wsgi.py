"""The WSGI entry point: `gunicorn app.web.wsgi:app`. The one module of the web side whose import reads the settings."""

from app.logs import configure_logs
from app.settings import load_or_exit
from app.web.application import create_app

configure_logs()
app = create_app(load_or_exit("callbacks"))
