"""SFT and GRPO of LoRA adapters, and the tiny base model."""
