"""Figures as inline SVG, each with the table of its data; one module a family."""
