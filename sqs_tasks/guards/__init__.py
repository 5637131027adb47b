"""What the store is asked around a job: may it run, that it runs, what became of it. Tasks that ask import it."""
