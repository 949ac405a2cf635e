"""Results: keys, outcomes, completions and their rows."""
