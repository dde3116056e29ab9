"""The dataset: drawn or fetched, indexed, split, and turned into conversations."""
