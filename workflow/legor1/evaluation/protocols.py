"""How each task is scored: ``sound``, by the tasks themselves; ``thesis``, as it was published."""

from legor1.published import thesis_metrics
from legor1.tasks.discovery import TASKS

SOUND = {name: task.scoring for name, task in TASKS.items()}
PROTOCOLS = {"sound": SOUND, "thesis": thesis_metrics.SCORING}
