"""Durable data and ML work on Ray, in Flyte 2 style."""
