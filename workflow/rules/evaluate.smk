# Needs: predictions/<experiment>.jsonl.
# Gives: scores/<experiment>/{scores.json,per_example.parquet}, table.csv.


rule score_predictions:
    input:
        predictions=f"{RUN}/predictions/{{experiment}}.jsonl",
        code=code("score"),
    output:
        scores=f"{RUN}/scores/{{experiment}}/scores.json",
        per_example=f"{RUN}/scores/{{experiment}}/per_example.parquet",
    log:
        f"{RUN}/logs/score/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/score/{{experiment}}.tsv"
    conda:
        "../../envs/demo.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        out=lambda wildcards, output: Path(output.scores).parent,
        protocol=config["evaluation"]["protocol"],
        replicates=config["evaluation"]["replicates"],
        confidence=config["evaluation"]["confidence"],
        seed=config["seed"],
    shell:
        "legor1 score {input.predictions:q} --protocol {params.protocol}"
        " --replicates {params.replicates} --confidence {params.confidence} --seed {params.seed}"
        " --out {params.out:q} 2>&1 | tee {log:q}"


rule compile_table:
    input:
        scores=expand(f"{RUN}/scores/{{experiment}}/scores.json", experiment=EXPERIMENTS),
        code=code("table"),
    output:
        table=f"{RUN}/table.csv",
    log:
        f"{RUN}/logs/compile_table.log",
    benchmark:
        f"{RUN}/benchmarks/compile_table.tsv"
    localrule: True
    conda:
        "../../envs/demo.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        scores=lambda wildcards, input: [
            f"{name}={path}" for name, path in zip(EXPERIMENTS, input.scores)
        ],
    shell:
        "legor1 table {params.scores:q} --out {output.table:q} 2>&1 | tee {log:q}"
