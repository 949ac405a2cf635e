"""Results: keys, the result tree, and its rows and tables."""
