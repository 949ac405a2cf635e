"""Helpers that know nothing of Linked API."""
