"""A marketplace: orders, webhooks, newsletters and mail, as an application moves them to queues."""
