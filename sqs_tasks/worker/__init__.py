"""The container runtime: long polls, runs jobs in threads, keeps leases alive, settles in tens, drains on SIGTERM."""
