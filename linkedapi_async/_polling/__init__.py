"""Which workflow to poll next, and when."""
