# Needs: the experiment's test.jsonl with data/tree, base/model.json, the experiment's adapter if any.
# Gives: predictions/<experiment>.jsonl, by way of its shards, or of answers from elsewhere.


ruleorder: import_answers > gather_predictions


rule predict_shard:
    input:
        conversations=lambda wildcards: conversations_of(wildcards.experiment, "test"),
        manifest=layout.data.manifest,
        base=layout.base_model,
        adapter=adapter_files,
    output:
        predictions=layout.shard("{experiment}", "{shard}"),
    log:
        layout.log("predict/{experiment}/{shard}"),
    benchmark:
        layout.benchmark("predict/{experiment}/{shard}")
    conda:
        "../../envs/vllm.yaml"
        if config["inference"]["engine"] == "vllm"
        else "../../envs/infer.yaml"
    threads: config["threads"]
    resources:
        mem_mb=memory(cpu=3000, cuda=32000),
        runtime=by_device(cpu=60, cuda=480),
        gpu=by_device(cpu=0, cuda=1),
    params:
        recipe=prediction_recipe,
        tree=layout.data.tree,
        adapter=lambda wildcards, input: (
            f"--adapter {Path(input.adapter[0]).parent}" if input.adapter else ""
        ),
        shards=config["inference"]["shards"],
        code=code("predict"),
    shell:
        "legor1 predict --recipe {params.recipe:q} --conversations {input.conversations:q}"
        " --tree {params.tree:q} --base {input.base:q} {params.adapter}"
        " --shard {wildcards.shard}/{params.shards} --out {output.predictions:q} > {log:q} 2>&1"


rule gather_predictions:
    input:
        shards=expand(
            layout.shard("{experiment}", "{shard}"),
            shard=range(config["inference"]["shards"]),
            allow_missing=True,
        ),
    output:
        predictions=layout.predictions("{experiment}"),
    log:
        layout.log("predict/{experiment}/gather_predictions"),
    benchmark:
        layout.benchmark("predict/{experiment}/gather_predictions")
    localrule: True
    conda:
        "../../envs/infer.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("gather"),
    shell:
        "legor1 gather {input.shards:q} --out {output.predictions:q} > {log:q} 2>&1"


rule import_answers:
    input:
        answers=lambda wildcards: config["experiments"][wildcards.experiment]["predictions"],
        conversations=lambda wildcards: conversations_of(wildcards.experiment, "test"),
        base=layout.base_model,
    output:
        predictions=layout.predictions("{experiment}"),
    log:
        layout.log("predict/{experiment}/import_answers"),
    benchmark:
        layout.benchmark("predict/{experiment}/import_answers")
    wildcard_constraints:
        experiment=any_of(EXTERNAL),
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        recipe=import_recipe,
        code=code("import-answers"),
    shell:
        "legor1 import-answers {input.answers:q} --recipe {params.recipe:q}"
        " --conversations {input.conversations:q} --base {input.base:q}"
        " --out {output.predictions:q} > {log:q} 2>&1"
