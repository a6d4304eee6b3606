"""The WSGI entry point: `gunicorn app.web.wsgi:app`. The one module of the web side whose import reads the settings."""

from app.logs import configure_logs
from app.settings import load_or_exit
from app.web.application import create_app

settings = load_or_exit("callbacks")
configure_logs(settings.log_format, settings.secrets)
app = create_app(settings)
