"""Requests, responses, retries."""
