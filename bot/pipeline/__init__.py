"""The only place that knows the whole chain watch, build, smoke, bisect, report."""
