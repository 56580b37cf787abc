"""Flyte's public names, and what becomes of each here."""
