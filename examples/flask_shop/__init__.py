"""A shop on Flask and SQLAlchemy, whose slow part is left to tasks."""
