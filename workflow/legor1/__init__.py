"""LEGO-R1 as a reproducible pipeline: does GRPO beat SFT at fine-grained assembly tasks?"""

__version__ = "0.1.0"
