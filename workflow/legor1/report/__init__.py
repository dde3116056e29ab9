"""From a run's stored results to one HTML file."""
