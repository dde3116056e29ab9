# Needs: predictions/<experiment>.jsonl, and the conversations for the baselines that cost nothing.
# Gives: predictions/<baseline>.jsonl, scores/<experiment>/<evaluation>/{scores.json,per_example.parquet},
#        table.csv, comparison.json where there is more than one experiment.


rule answer_without_model:
    input:
        train=conversations_of(COMPARED[0], "train"),
        test=conversations_of(COMPARED[0], "test"),
        code=code("baselines"),
    output:
        predictions=expand(f"{RUN}/predictions/{{baseline}}.jsonl", baseline=BASELINES),
    log:
        f"{RUN}/logs/answer_without_model.log",
    benchmark:
        f"{RUN}/benchmarks/answer_without_model.tsv"
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        out=lambda wildcards, output: Path(output.predictions[0]).parent,
    shell:
        "legor1 baselines --train {input.train:q} --test {input.test:q} --out {params.out:q}"
        " 2>&1 | tee {log:q}"


rule score_predictions:
    input:
        predictions=f"{RUN}/predictions/{{experiment}}.jsonl",
        code=code("score"),
    output:
        scores=f"{RUN}/scores/{{experiment}}/{{evaluation}}/scores.json",
        per_example=f"{RUN}/scores/{{experiment}}/{{evaluation}}/per_example.parquet",
    log:
        f"{RUN}/logs/score/{{experiment}}/{{evaluation}}.log",
    benchmark:
        f"{RUN}/benchmarks/score/{{experiment}}/{{evaluation}}.tsv"
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
    shell:
        "legor1 score {input.predictions:q} --protocol {wildcards.evaluation} {params.intervals}"
        " --out {params.out:q} 2>&1 | tee {log:q}"


rule compile_table:
    input:
        scores=expand(
            f"{RUN}/scores/{{experiment}}/{{evaluation}}/scores.json",
            experiment=SCORED,
            evaluation=EVALUATIONS,
        ),
        code=code("table"),
    output:
        table=report(
            f"{RUN}/table.csv",
            caption="../report/captions/table.rst",
            category="Results",
            labels={"table": "every number", "format": "csv"},
        ),
    log:
        f"{RUN}/logs/compile_table.log",
    benchmark:
        f"{RUN}/benchmarks/compile_table.tsv"
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        scores=lambda wildcards, input: [f"{Path(path).parts[-3]}={path}" for path in input.scores],
    shell:
        "legor1 table {params.scores:q} --out {output.table:q} 2>&1 | tee {log:q}"


rule compare_experiments:
    input:
        scores=expand(
            f"{RUN}/scores/{{experiment}}/{EVALUATIONS[0]}/per_example.parquet",
            experiment=COMPARED,
        ),
        code=code("compare"),
    output:
        comparison=report(
            f"{RUN}/comparison.json",
            caption="../report/captions/comparison.rst",
            category="Results",
            labels={"table": "paired differences", "format": "json"},
        ),
    log:
        f"{RUN}/logs/compare_experiments.log",
    benchmark:
        f"{RUN}/benchmarks/compare_experiments.tsv"
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
    shell:
        "legor1 compare {params.scores:q} {params.intervals} --out {output.comparison:q}"
        " 2>&1 | tee {log:q}"
