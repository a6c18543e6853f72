"""Pure decisions: no clock, no git, no process, no unseeded randomness."""
