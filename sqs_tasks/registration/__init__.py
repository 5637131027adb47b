"""What is registered: rare checks, the modules that register, defaults. Imported where it is needed, by few."""
