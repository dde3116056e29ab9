"""A run's outputs, kept by DVC: published to a remote, restored in another clone.

Git keeps one small file a run, ``published/<run>.dvc``, with the hash of every output. Snakemake
alone decides what is made; DVC stores what was.
"""
