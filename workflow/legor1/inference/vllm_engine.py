"""vLLM as the engine: it batches, shares prefixes and caches images by itself.

It has an environment of its own (``envs/vllm.yaml``), since it needs other releases than training.
"""

import os
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from legor1.core.errors import UserError
from legor1.core.images import open_image
from legor1.core.seeding import generator
from legor1.inference.batching import Prompt
from legor1.models.family import Processor, Recipe
from legor1.models.loading import context_length, end_tokens
from legor1.models.lora import read_settings
from legor1.models.registry import family_of

IN_FLIGHT = 256  # prompts that vLLM has at a time: their images are in memory
# A single process: more gain nothing where a job has one device.
SETTINGS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}
ON_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1"}  # GiB


class VllmEngine:
    """Decoding by vLLM; its samples differ from those of transformers."""

    def __init__(
        self, recipe: Recipe, tree: Path, base: Path, adapter: Path | None, processor: Processor
    ) -> None:
        """Load the model in the folder ``base``, with the LoRA adapter in ``adapter`` if given."""
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
        """Yield each prompt's index and completion, as they end.

        vLLM forms its batches itself, so a resumed run may differ from an uninterrupted one.
        """
        engine = self.llm.llm_engine
        left = {*range(len(prompts))}.difference(answered)
        waiting = deque(sorted(left, key=lambda at: (-prompts[at].tokens, at)))
        in_flight = 0
        while waiting or in_flight:
            while waiting and in_flight < IN_FLIGHT:
                number = waiting.popleft()
                request = self._request(prompts[number])
                sampling = self.sampling(seed=self._seed(prompts[number]))
                engine.add_request(str(number), request, sampling, lora_request=self.lora)
                in_flight += 1
            for output in engine.step():
                if not output.finished:
                    continue
                number = int(output.request_id)
                in_flight -= 1
                if len(output.prompt_token_ids) != prompts[number].tokens:
                    raise RuntimeError(
                        f"vLLM makes {len(output.prompt_token_ids)} tokens of a prompt that has "
                        f"{prompts[number].tokens}: boxes would be in the wrong frame"
                    )
                yield number, list(output.outputs[0].token_ids)

    def _seed(self, prompt: Prompt) -> int | None:
        """Return the seed of an answer, which then does not depend on the other prompts."""
        if not self.recipe.get("sampling"):
            return None
        return int(generator(self.recipe["seed"], "sampling", prompt.instance).integers(2**31))

    def _request(self, prompt: Prompt) -> dict[str, object]:
        paths = [picture.path for picture in prompt.pictures]
        images = {"image": [open_image(self.tree / path) for path in paths]}
        ids = {"image": paths}
        return {"prompt": prompt.text, "multi_modal_data": images, "multi_modal_uuids": ids}
