"""What flyte-ray costs, each question in a module that is run by itself."""
