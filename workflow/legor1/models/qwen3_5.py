"""Qwen3.5: Qwen3-VL's frames and tokens, and mostly linear attention in its language model."""

from legor1.models.family import ModelFamily
from legor1.models.qwen2_5_vl import Qwen25VL
from legor1.models.qwen3_vl import Qwen3VL


class Qwen35(Qwen25VL):
    """Trained by the stock trainers: a linear layer's state runs on over all groups of a row."""

    model_type = "qwen3_5"
    title = "Qwen3.5"
    factor, box_scale = Qwen3VL.factor, Qwen3VL.box_scale
    # Every large linear layer of the language model, those of linear attention too.
    lora_targets = (
        r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|in_proj_qkv|in_proj_z|out_proj"
        r"|gate_proj|up_proj|down_proj)"
    )
    packs_examples = False
    shares_prompts = False
    architecture = ModelFamily.architecture  # the sizes of linear attention are not defined
