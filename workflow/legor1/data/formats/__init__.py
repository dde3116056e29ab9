"""Datasets in the formats that people have, read into the rows that all else is made of."""
