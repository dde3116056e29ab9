"""From conversations to predictions."""
