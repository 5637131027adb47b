"""A shop on FastAPI and SQLAlchemy, whose slow part is left to tasks."""
