# What all rules share: the resolved config, paths, recipes, code as input.
#
# Needs: config.yaml, overlays from --configfile and --config.
# Gives: config, RUN, code(), conversations_of(), training_recipe(), prediction_recipe(), …

import contextlib
import json
import os
import shlex
import sys
from pathlib import Path

from snakemake.settings.enums import Quietness

# Not workflow.basedir: where another workflow takes these rules as a module, that is its own folder.
HERE = workflow.current_basedir
if not isinstance(HERE, os.PathLike):
    sys.exit(
        f"Error: {HERE.get_path_or_uri(secret_free=True)} has the rules, but not the package they "
        "run. Remedy: clone the repository, and name workflow/Snakefile of the clone as the module."
    )
ROOT = Path(HERE).parents[1]
PACKAGE = str(ROOT / "workflow")
sys.path.insert(0, PACKAGE)
# Jobs run the code that the rules declare, by the Python that runs Snakemake, whether its
# environment is active or not.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", "")]),
    PYTHONPATH=os.pathsep.join([PACKAGE, os.getenv("PYTHONPATH", "")]),
    LEGOR1_ROOT=str(ROOT),  # for envs/*.post-deploy.sh
)
# `snakemake fetch` downloads on the login node; a cluster's nodes often have no network, and a look
# for something newer would wait there for minutes.
if workflow.remote_exec:
    os.environ.update(HF_HUB_OFFLINE="1")
from legor1.config import job_params
from legor1.core import code_digest
from legor1.core.layout import RunLayout
from legor1.evaluation import suites
from legor1.monitor import jobs, slurm
from legor1.monitor.console import Console
from legor1.planning import preflight
from legor1.published import defects
from legor1.tasks.baselines import NAMES as BASELINES
from legor1.config.settings import family, load, read, typed
from legor1.data.sources import download_folder, model_files, sizes
from legor1.core.errors import UserError
from legor1.core.files import write_json
from legor1.planning.plan import plan, summary
from legor1.report.sections.training_curves import alike_but_for_rewards


@contextlib.contextmanager
def user_errors():
    """End with the message alone where the user can put it right: Snakemake adds a traceback."""
    try:
        yield
    except UserError as error:
        sys.exit(f"Error: {error}")


if plugin := sys.modules.get("snakemake_executor_plugin_slurm"):
    slurm.be_patient(plugin)


with user_errors():
    # Snakemake has read these, and of a key that is there twice has kept the last alone.
    for overlay in workflow.configfiles:
        read(overlay)
    config = load(ROOT / "config.yaml", config)

RUN = f"results/{config['run']}"
layout = RunLayout(RUN)

# How Snakemake's lines about itself begin; `Nothing to be done` is none of them.
CHATTER = (
    *("Assuming unrestricted", "Building DAG", "Using shell", "Provided ", "Rules claiming"),
    *("Conda environments", "Job stats", "Select jobs", "Complete log", "Elapsed time"),
)
# `--quiet host` asks for Snakemake's own log.
if workflow.is_main_process and Quietness.RULES in (workflow.output_settings.quiet or ()):
    logger.addFilter(lambda it: workflow.dryrun or not str(it.msg).startswith(CHATTER))
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler":
            Console(handler, Path(RUN))

# The study is the same whether or not an ablation is asked for beside it.
STUDY = {name: value for name, value in config.items() if name != "ablation"}
EXPERIMENTS = list(config["experiments"])
BY_METHOD = {name: one["method"] for name, one in config["experiments"].items()}
TRAINED = [name for name, method in BY_METHOD.items() if method in ("sft", "grpo")]
EXTERNAL = [name for name, method in BY_METHOD.items() if method == "external"]
# What the others are compared with comes first: an experiment without training, if there is one.
COMPARED = sorted(EXPERIMENTS, key=lambda name: BY_METHOD[name] != "baseline")
# The user's own dataset: its folder, and the files that say what is in it; None if it is another.
OWN_DATA = typed(config).dataset.own
EVALUATIONS = config["evaluation"]["protocols"]
SCORED = [*EXPERIMENTS, *BASELINES]
# Those whose rewards are probed: repeats with other seeds have the same.
PROBED = [
    name
    for name in TRAINED
    if config["experiments"][name]["method"] == "grpo" and name == family(config, name)
]
# Those that differ in their rewards alone, the first such group.
SIDE_BY_SIDE = next(iter(alike_but_for_rewards(config["experiments"])), [])
# The protocols of data preparation that are needed.
PREPARED = sorted({one["protocol"] for one in config["experiments"].values()})


wildcard_constraints:
    protocol="|".join(PREPARED),
    experiment="|".join(EXPERIMENTS),
    evaluation="|".join(EVALUATIONS),
    shard="[0-9]+",


def stop_if_something_is_missing():
    """Check this machine for the jobs that will run on it."""
    names = {job.rule.name for job in workflow.dag.needrun_jobs()}
    if not workflow.local_exec:
        names = {name for name in names if not name.startswith(preflight.MODEL_RULES)}
    with user_errors():
        preflight.require(typed(config), Path(RUN), names)


def note_start():
    """Write the config and the planned jobs for those who watch the study."""
    with user_errors():
        write_json(Path(layout.started_config), STUDY)
        jobs.note(workflow.dag.jobs, Path(RUN), SCORED)


def code(*stages):
    """Return a digest of the stages' code: a change of its meaning reruns a rule."""
    return code_digest.digest(*stages)


def training_code(wildcards):
    """Return a digest of the code that an experiment's training runs."""
    method = config["experiments"][wildcards.experiment]["method"]
    return code_with_rewards(f"train {method}", wildcards.experiment)


def code_with_rewards(stage, experiment):
    """Return a digest of a stage's code, an experiment's rewards of the user's own included."""
    own = suites.sources(config["experiments"][experiment]["training"].get("rewards", ()))
    return code_digest.digest(stage, files=own)


def probe_options(wildcards):
    """Return the arguments of `legor1 probe-reward`: the suite, and rewards of the user's own."""
    training = config["experiments"][wildcards.experiment]["training"]
    own = [word for name in training["rewards"] if suites.is_own(name) for word in ("--own", name)]
    return shlex.join([training["suite"], *own])


def probe_code(wildcards):
    """Return a digest of the code that a probe of an experiment's rewards runs."""
    return code_with_rewards("probe-reward", wildcards.experiment)


def by_device(cpu, cuda):
    """Return what a job needs on the configured device."""
    return cuda if config["device"] == "cuda" else cpu


def memory(cpu, cuda):
    """Return the MB that a job asks for: half as much again in each attempt, should it lack some."""
    return lambda wildcards, attempt: by_device(cpu, cuda) * (attempt + 1) // 2


def trained_by(method):
    """Return a pattern of the experiments that are trained by this method."""
    names = [name for name in EXPERIMENTS if config["experiments"][name]["method"] == method]
    return any_of(names)


def any_of(names):
    """Return a pattern of the names, one that nothing matches if there are none."""
    return "|".join(names) or "$^"


def adapter_files(wildcards):
    """Return the files of an experiment's adapter; the baseline has none."""
    return files_of_adapter(wildcards.experiment)


def start_files(wildcards):
    """Return the files of the adapter that an experiment's training continues, if it does."""
    return files_of_adapter(config["experiments"][wildcards.experiment].get("start_from"))


def files_of_adapter(name):
    """Return the files of an experiment's adapter, none without a training."""
    return [layout.weights(name), layout.adapter_config(name)] if name in TRAINED else []


def split_options(one):
    """Return the option of `legor1 split` for a protocol: the other defects have no say in it."""
    return "--protocol " + ("thesis" if "row_split" in defects.chosen(one["defects"]) else "sound")


def convert_options(one):
    """Return the options of `legor1 convert` for a protocol."""
    return shlex.join([*defects.options(one["defects"]), "--object-format", one["object_format"]])


def conversations_of(experiment, side):
    """Return the conversations of ``train`` or ``test`` that an experiment is given."""
    one = config["experiments"][experiment]
    return layout.data.conversations(one["protocol"], one["variant"], side)


def training_recipe(wildcards):
    """Return the settings that an experiment's training depends on, as JSON."""
    recipe = job_params.training_job(config, wildcards.experiment)
    return json.dumps(recipe.as_mapping(), sort_keys=True)


def prediction_recipe(wildcards):
    """Return the settings that an experiment's predictions depend on, as JSON."""
    recipe = job_params.prediction_job(config, wildcards.experiment)
    return json.dumps(recipe.as_mapping(), sort_keys=True)


def import_recipe(wildcards):
    """Return how an experiment's answers from elsewhere are read, as JSON."""
    recipe = job_params.import_job(config, wildcards.experiment)
    return json.dumps(recipe.as_mapping(), sort_keys=True)


def interval_options():
    """Return the options of `legor1 score` and `compare` that decide their intervals."""
    options = {name: config["evaluation"][name] for name in ("replicates", "confidence")}
    options["seed"] = config["seed"]
    return " ".join(f"--{name} {value}" for name, value in options.items())


def drawing_options(scenes):
    """Return the options of `legor1 synthesize` for a block of the config."""
    sizes = ",".join(scenes["image_sizes"])
    names = ("manuals", "steps", "objects", "seed")
    return " ".join(f"--{name} {scenes[name]}" for name in names) + f" --image-size {sizes}"


def source_options(block, kind):
    """Return the options of `legor1 fetch` for `dataset` or `base` of the config."""
    if block["source"] == "huggingface":
        repo, revision = block["huggingface"]["repo"], block["huggingface"]["revision"]
        folder = download_folder(kind, repo, revision)
        return shlex.join(["--repo", repo, "--revision", revision, "--folder", str(folder)])
    if kind == "dataset":
        return shlex.join(["--folder", OWN_DATA[0], "--files", OWN_DATA[1]])
    return shlex.join(["--folder", source_folder(block)])


def dialogue_files():
    """Return the dialogues of the user's own dataset: new ones make a new manifest."""
    return sorted(map(str, Path(OWN_DATA[0]).glob(OWN_DATA[1]))) if OWN_DATA else []


def own_sizes(wildcards):
    """Return a hash of the sizes of the user's own dataset files: too many to be inputs."""
    return sizes(Path(OWN_DATA[0])) if OWN_DATA else None


def index_options():
    """Return the option of `legor1 index` that says how a format of others is read."""
    job = job_params.index_job(config)
    return shlex.join(["--recipe", json.dumps(job.as_mapping(), sort_keys=True)]) if job else ""


def base_files():
    """Return the files of the base model, as far as they are known before it is downloaded."""
    if config["base"]["source"] == "rebuild":
        return [f"{layout.tiny_base}/{name}" for name in ("model.safetensors", "config.json")]
    shipped = model_files(preflight.TINY_BASE) if config["base"]["source"] == "shipped" else []
    return [os.path.relpath(path) for path in shipped]


def source_folder(block):
    """Return where a base model lies that is not downloaded."""
    return (
        os.path.relpath(preflight.TINY_BASE) if block["source"] == "shipped" else layout.tiny_base
    )


def plan_dry_run(record):
    """Print the plan's total before a dry run's last words: it has no `onstart`."""
    if workflow.dryrun and str(record.msg).startswith("This was a dry-run"):
        try:
            logger.info(summary(plan(typed(config), run=Path(RUN))))
        except UserError as error:
            logger.info(f"No plan: {error}")
    return True


logger.addFilter(plan_dry_run)
