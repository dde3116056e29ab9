"""Supervised fine-tuning by TRL's ``SFTTrainer``; loss on the answer alone.

Run by ``legor1 train`` through accelerate and DeepSpeed: ``… --module legor1.training.sft JOB``.
"""

from trl import SFTConfig, SFTTrainer

from legor1.training.experiment import Job, main


def run(job: Job) -> None:
    """Train the adapter that ``job`` describes."""
    dataset = job.dataset(
        completion=lambda row: [
            {"role": "assistant", "content": [{"type": "text", "text": job.answer(row)}]}
        ]
    )
    trainer = SFTTrainer(
        model=job.model(),
        args=SFTConfig(max_length=None, **job.arguments()),  # a cut prompt would lose image tokens
        train_dataset=dataset,
        processing_class=job.processor(),
        peft_config=job.lora(),
    )
    job.run(trainer)


if __name__ == "__main__":
    main(run)
