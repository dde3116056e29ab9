"""What the thesis did, defects included, each under a name of its own."""
