"""The result tree of a finished workflow."""
