"""What claims about speed and probes are measured with. Each prints a peer beside ours, from one run."""
