"""Optional parts for other packages: each imports what it integrates, and nothing here imports it."""
