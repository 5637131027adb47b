"""The project: its settings, its URLs and its environment."""
