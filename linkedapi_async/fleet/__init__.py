"""Beyond one machine: a queue in a database, and the workers that run it."""
