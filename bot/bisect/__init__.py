"""The search loop between the pure core and whoever performs its jobs."""
