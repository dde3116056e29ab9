"""Single examples: the image, what was asked, what is true, what every experiment answered."""
