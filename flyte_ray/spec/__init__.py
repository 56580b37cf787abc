"""What a user declares: environments, tasks and their policies, as frozen and validated data.

Knows nothing of stores, ledgers or Ray.
"""
