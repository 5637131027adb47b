"""When a job is due: EventBridge Scheduler's expressions and their exact next runs."""
