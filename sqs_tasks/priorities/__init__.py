"""Classes of jobs that share a worker by weight, each with a queue of its own."""
