"""What the model is asked, how its answers are read, and how they are measured."""
