"""Commands, one group of them a module: parse, load the configuration, call one function, return its exit code."""
