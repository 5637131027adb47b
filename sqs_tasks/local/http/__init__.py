"""HTTP/1.1 for the servers of this folder: one event loop, no dependency, and bounds on whatever a client can do."""
