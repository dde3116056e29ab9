"""What the conversations give away, and whether the split holds: ``legor1 audit``."""
