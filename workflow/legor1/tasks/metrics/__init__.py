"""What the study measures: pure functions of predictions and references."""
