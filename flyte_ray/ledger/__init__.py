"""The record: events, state, log, recovery, queues, service and queries of runs and actions."""
