# Needs: predictions/<experiment>.jsonl, and the conversations for the baselines that cost nothing
# and for the policies that know nothing.
# Gives: rewards/<experiment>.json, predictions/<baseline>.jsonl, scores/<experiment>/<evaluation>/{scores.json,per_example.parquet},
#        table.csv, comparison.json where there is more than one experiment.


rule answer_without_model:
    input:
        train=conversations_of(COMPARED[0], "train"),
        test=conversations_of(COMPARED[0], "test"),
    output:
        predictions=expand(layout.predictions("{baseline}"), baseline=BASELINES),
    log:
        layout.log("answer_without_model"),
    benchmark:
        layout.benchmark("answer_without_model")
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        out=lambda wildcards, output: Path(output.predictions[0]).parent,
        code=code("baselines"),
    shell:
        "legor1 baselines --train {input.train:q} --test {input.test:q} --out {params.out:q}"
        " > {log:q} 2>&1"


rule probe_rewards:
    input:
        conversations=lambda wildcards: conversations_of(wildcards.experiment, "train"),
        manifest=layout.data.manifest,
    output:
        probe=layout.probe("{experiment}"),
    log:
        layout.log("probe/{experiment}"),
    benchmark:
        layout.benchmark("probe/{experiment}")
    wildcard_constraints:
        experiment=any_of(PROBED),
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        rewards=probe_options,
        tree=layout.data.tree,
        seed=config["seed"],
        code=probe_code,
    shell:
        "legor1 probe-reward {params.rewards} --conversations {input.conversations:q}"
        " --tree {params.tree:q} --seed {params.seed} --out {output.probe:q} > {log:q} 2>&1"


rule score_predictions:
    input:
        predictions=layout.predictions("{experiment}"),
    output:
        scores=layout.scores("{experiment}", "{evaluation}"),
        per_example=layout.per_example("{experiment}", "{evaluation}"),
    log:
        layout.log("score/{experiment}/{evaluation}"),
    benchmark:
        layout.benchmark("score/{experiment}/{evaluation}")
    wildcard_constraints:
        experiment="|".join(SCORED),
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        out=lambda wildcards, output: Path(output.scores).parent,
        intervals=interval_options(),
        code=code("score"),
    shell:
        "legor1 score {input.predictions:q} --protocol {wildcards.evaluation} {params.intervals}"
        " --out {params.out:q} > {log:q} 2>&1"


rule compile_table:
    input:
        scores=expand(
            layout.scores("{experiment}", "{evaluation}"),
            experiment=SCORED,
            evaluation=EVALUATIONS,
        ),
    output:
        table=report(
            layout.table,
            caption="../report/captions/table.rst",
            category="Results",
            labels={"table": "every number", "format": "csv"},
        ),
    log:
        layout.log("compile_table"),
    benchmark:
        layout.benchmark("compile_table")
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        scores=lambda wildcards, input: [f"{Path(path).parts[-3]}={path}" for path in input.scores],
        code=code("table"),
    shell:
        "legor1 table {params.scores:q} --out {output.table:q} > {log:q} 2>&1"


rule compare_experiments:
    input:
        scores=expand(
            layout.per_example("{experiment}", EVALUATIONS[0]),
            experiment=COMPARED,
        ),
    output:
        comparison=report(
            layout.comparison,
            caption="../report/captions/comparison.rst",
            category="Results",
            labels={"table": "paired differences", "format": "json"},
        ),
    log:
        layout.log("compare_experiments"),
    benchmark:
        layout.benchmark("compare_experiments")
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        scores=lambda wildcards, input: [  # those with other seeds under the name that they repeat
            f"{family(config, Path(path).parts[-3])}={Path(path).parent}" for path in input.scores
        ],
        intervals=interval_options(),
        code=code("compare"),
    shell:
        "legor1 compare {params.scores:q} {params.intervals} --out {output.comparison:q}"
        " > {log:q} 2>&1"
