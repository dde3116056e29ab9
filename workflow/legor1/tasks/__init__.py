"""The three tasks: what the model is asked, how its answers are read and measured."""
