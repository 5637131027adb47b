"""The table of the outbox as an app of Django: add ``sqs_tasks.integrations.django_outbox`` to INSTALLED_APPS."""
