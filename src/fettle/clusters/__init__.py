"""Where work runs: worker processes on this machine, and the link to them."""
