"""The commands of ``manage.py``: those of ``sqs-tasks``, for the environment that the settings name."""
