"""Loading a model family: weights, processor, adapters, cached vision features."""
