"""The Flask application: callbacks in, the user's API, health. It loads neither boto3 nor Celery."""
