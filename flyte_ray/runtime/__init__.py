"""Inside a slot: naming, context and the controller that runs actions and records them."""
