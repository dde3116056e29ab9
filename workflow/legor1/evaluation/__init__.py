"""From predictions to scores, comparisons and the table of results."""
