"""The event source mapping: polls a queue and invokes a function, as Lambda does."""
