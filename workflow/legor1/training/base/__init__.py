"""Training of the tiny base model, from scratch, on scenes that are drawn as it goes."""
