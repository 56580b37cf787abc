"""Verbs on the command line."""
