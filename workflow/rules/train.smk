# Needs: the experiment's train.jsonl with data/tree, base/model.json, the adapter that it starts from.
# Gives: adapters/<experiment>/ (adapter/, run.json, history.jsonl), base/tiny/ where it is rebuilt.
# Checkpoints lie in work/, which no rule declares: Snakemake deletes a failed job's outputs.


rule train_sft:
    input:
        conversations=lambda wildcards: conversations_of(wildcards.experiment, "train"),
        manifest=layout.data.manifest,
        base=layout.base_model,
        start_from=start_files,
    output:
        weights=layout.weights("{experiment}"),
        settings=layout.adapter_config("{experiment}"),
        history=report(
            layout.history("{experiment}"),
            caption="../report/captions/history.rst",
            category="Training",
            labels={"experiment": "{experiment}", "file": "every logged step"},
        ),
        run=report(
            layout.training("{experiment}"),
            caption="../report/captions/run.rst",
            category="Training",
            labels={"experiment": "{experiment}", "file": "recipe and cost"},
        ),
    log:
        layout.log("train/{experiment}"),
    benchmark:
        layout.benchmark("train/{experiment}")
    wildcard_constraints:
        experiment=trained_by("sft"),
    conda:
        "../../envs/train.yaml"
    threads: config["threads"]
    resources:
        mem_mb=memory(cpu=6000, cuda=64000),
        runtime=by_device(cpu=60, cuda=720),
        gpu=by_device(cpu=0, cuda=config["processes"]),
        wall_minutes=config["wall_minutes"] or 0,  # a resource, so that changing it reruns nothing
        attempt=lambda wildcards, attempt: attempt,
    params:
        recipe=training_recipe,
        tree=layout.data.tree,
        work=layout.work,
        start_from=lambda wildcards, input: (
            f"--start-from {Path(input.start_from[0]).parent}" if input.start_from else ""
        ),
        out=lambda wildcards, output: Path(output.run).parent,
        code=training_code,
    shell:
        # A signal that ends the job is for the training alone, which takes a step to stop. What an
        # earlier attempt said stays in the log.
        "trap '' TERM;"
        " legor1 train --recipe {params.recipe:q} --conversations {input.conversations:q}"
        " --tree {params.tree:q} --manifest {input.manifest:q} --base {input.base:q}"
        " {params.start_from} --work {params.work:q} --out {params.out:q}"
        " --minutes {resources.wall_minutes} --attempt {resources.attempt}"
        " --log {log:q} >> {log:q} 2>&1"


use rule train_sft as train_grpo with:
    input:
        conversations=lambda wildcards: conversations_of(wildcards.experiment, "train"),
        manifest=layout.data.manifest,
        base=layout.base_model,
        start_from=start_files,
    wildcard_constraints:
        experiment=trained_by("grpo"),
    resources:
        mem_mb=memory(cpu=6000, cuda=64000),
        runtime=by_device(cpu=60, cuda=1440),
        gpu=by_device(cpu=0, cuda=config["processes"]),
        wall_minutes=config["wall_minutes"] or 0,
        attempt=lambda wildcards, attempt: attempt,


rule build_tiny_base:
    output:
        weights=f"{layout.tiny_base}/model.safetensors",
        settings=f"{layout.tiny_base}/config.json",
        history=f"{layout.tiny_base}/training_log.jsonl",
        heldout=f"{layout.tiny_base}/heldout.jsonl",
    log:
        layout.log("base/build_tiny_base"),
    benchmark:
        layout.benchmark("base/build_tiny_base")
    conda:
        "../../envs/train.yaml"
    threads: config["base"]["rebuild"]["processes"]
    resources:
        mem_mb=4000 * config["base"]["rebuild"]["processes"],
        runtime=240,
    params:
        recipe=json.dumps(config["base"]["rebuild"], sort_keys=True),
        work=layout.work,
        out=lambda wildcards, output: Path(output.weights).parent,
        code=code("build-base"),
    shell:
        # As for train_sft: a signal is for the training alone, which saves and leaves.
        "trap '' TERM INT;"
        " legor1 build-base --recipe {params.recipe:q} --work {params.work:q}"
        " --out {params.out:q} >> {log:q} 2>&1"
