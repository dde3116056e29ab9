"""vLLM as the engine: it batches, shares prefixes and caches images by itself.

In an environment of its own (``envs/vllm.yaml``), since it asks for other releases than training.
"""

import os
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from legor1.core.errors import UserError
from legor1.core.images import open_image
from legor1.core.seeding import generator
from legor1.inference.types import Prompt
from legor1.models.loading import context_length, end_tokens
from legor1.models.lora import read_settings
from legor1.models.registry import family_of

IN_FLIGHT = 256  # prompts that vLLM has at a time: their images are in memory
# In one process: nothing is gained by more where a job has one device.
SETTINGS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}
ON_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1"}  # GiB


class VllmEngine:
    """Decoding by vLLM; what it draws differs from what transformers draws."""

    def __init__(
        self, recipe: dict[str, Any], tree: Path, base: Path, adapter: Path | None, processor: Any
    ) -> None:
        """Load the model in the folder ``base``, with the LoRA adapter in ``adapter`` if given.

        Raises:
            UserError: vLLM is not installed here.
        """
        on_cpu = recipe["device"] == "cpu"
        for name, value in (SETTINGS | (ON_CPU if on_cpu else {})).items():
            os.environ.setdefault(name, value)
        try:
            from vllm import LLM, SamplingParams
            from vllm.lora.request import LoRARequest
        except ImportError as error:
            raise UserError(
                f"vLLM cannot be used here: {error}. Remedy: run in the environment of "
                "envs/vllm.yaml, or set `inference: {engine: transformers}` in the config."
            ) from error
        family = family_of(base)
        self.tree, budget = tree, family.budget(**recipe["pixel_budget"])
        self.lora = LoRARequest(adapter.name, 1, str(adapter)) if adapter else None
        self.recipe = recipe
        drawn = {name: v for name, v in (recipe.get("sampling") or {}).items() if v is not None}
        self.sampling = partial(
            SamplingParams,
            **{"temperature": 0.0} | drawn,
            max_tokens=recipe["max_new_tokens"],
            stop_token_ids=end_tokens(base),
            repetition_penalty=recipe["repetition_penalty"],
            detokenize=False,
        )
        rank = read_settings(adapter).r if adapter else 1
        self.llm = LLM(
            model=str(base),
            generation_config="vllm",  # not the checkpoint's
            dtype=recipe["precision"],
            max_model_len=recipe.get("max_tokens") or context_length(base),
            max_num_seqs=recipe["batch_size"] or IN_FLIGHT,
            mm_processor_kwargs=family.image_settings(budget),
            enable_lora=adapter is not None,
            max_lora_rank=max(8, rank),
            enforce_eager=on_cpu,
            seed=0,
        )

    def complete(
        self, prompts: Sequence[Prompt], answered: Collection[int] = ()
    ) -> Iterator[tuple[int, list[int]]]:
        """Yield the number of each prompt with the tokens of its completion, as they end.

        vLLM forms its batches itself, so a resumed run may differ from an undisturbed one.

        Raises:
            RuntimeError: vLLM makes other tokens of a prompt than the processor, so that boxes
                would be in the wrong frame.
        """
        engine = self.llm.llm_engine
        left = {*range(len(prompts))}.difference(answered)
        waiting = deque(sorted(left, key=lambda at: (-prompts[at].tokens, at)))
        flying = 0
        while waiting or flying:
            while waiting and flying < IN_FLIGHT:
                number = waiting.popleft()
                request = self._request(prompts[number])
                sampling = self.sampling(seed=self._seed(prompts[number]))
                engine.add_request(str(number), request, sampling, lora_request=self.lora)
                flying += 1
            for output in engine.step():
                if not output.finished:
                    continue
                number = int(output.request_id)
                flying -= 1
                if len(output.prompt_token_ids) != prompts[number].tokens:
                    raise RuntimeError(
                        f"vLLM makes {len(output.prompt_token_ids)} tokens of a prompt that has "
                        f"{prompts[number].tokens}: boxes would be in the wrong frame"
                    )
                yield number, list(output.outputs[0].token_ids)

    def _seed(self, prompt: Prompt) -> int | None:
        """Return what an answer is drawn by, so that it does not depend on the others."""
        if not self.recipe.get("sampling"):
            return None
        return int(generator(self.recipe["seed"], "sampling", prompt.instance).integers(2**31))

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        images = [open_image(self.tree / picture.path) for picture in prompt.pictures]
        paths = [picture.path for picture in prompt.pictures]
        return {
            "prompt": prompt.text,
            "multi_modal_data": {"image": images},
            "multi_modal_uuids": {"image": paths},
        }
