"""Child processes that run one job at a time: what can be ended from outside, and costs one job when it dies."""
