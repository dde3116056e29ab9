"""What a run will ask of a GPU, before one is asked for: tokens, memory by part, hours by stage."""
