"""Where Django looks for commands: a file for each."""
