"""Faster forms of stock trainers and layers; they rely on private parts of libraries."""
