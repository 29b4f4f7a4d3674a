"""Methods (what is trained, with which loss), one loop, checkpoints."""
