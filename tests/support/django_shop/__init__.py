"""An app of the Django project of tests."""
