"""Orders: a model, a view and a task."""
