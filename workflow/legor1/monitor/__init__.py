"""Watching a study while it runs: its files → the state of its jobs → a screen."""
