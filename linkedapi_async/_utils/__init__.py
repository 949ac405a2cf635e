"""Helpers that do not depend on Linked API."""
