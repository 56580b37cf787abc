"""What the user holds: environments, tasks, runs, and the verbs on them."""
