"""The dashboard: pages for people, made by the server from the same functions that the API uses."""
