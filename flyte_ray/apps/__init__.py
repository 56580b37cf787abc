"""Apps: long-running services, in the user's process or on Ray Serve. `flyte_ray.app` is the public face."""
