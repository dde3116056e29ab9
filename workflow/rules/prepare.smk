# Needs: data/tree with its manifest.json; the same under base/ for the tiny base model's own scenes.
# Gives: instances.parquet, quarantine.jsonl, images.parquet, and for each protocol split.json,
# {plain,reasoning}/{train,test}.jsonl and audit.json.


rule index_dataset:
    input:
        manifest=f"{RUN}/{{data}}/manifest.json",
        code=code("index"),
    output:
        instances=f"{RUN}/{{data}}/instances.parquet",
        quarantine=f"{RUN}/{{data}}/quarantine.jsonl",
    log:
        f"{RUN}/logs/{{data}}/index_dataset.log",
    benchmark:
        f"{RUN}/benchmarks/{{data}}/index_dataset.tsv"
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        tree=lambda wildcards: f"{RUN}/{wildcards.data}/tree",
    shell:
        "legor1 index {params.tree:q} --out {output.instances:q}"
        " --quarantine {output.quarantine:q} 2>&1 | tee {log:q}"


rule fingerprint_images:
    input:
        manifest=f"{RUN}/{{data}}/manifest.json",
        instances=f"{RUN}/{{data}}/instances.parquet",
        code=code("fingerprint"),
    output:
        images=f"{RUN}/{{data}}/images.parquet",
    log:
        f"{RUN}/logs/{{data}}/fingerprint_images.log",
    benchmark:
        f"{RUN}/benchmarks/{{data}}/fingerprint_images.tsv"
    conda:
        "../../envs/prepare.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        tree=lambda wildcards: f"{RUN}/{wildcards.data}/tree",
    shell:
        "legor1 fingerprint {input.instances:q} --tree {params.tree:q} --workers {threads}"
        " --out {output.images:q} 2>&1 | tee {log:q}"


rule split_dataset:
    input:
        instances=f"{RUN}/{{data}}/instances.parquet",
        images=f"{RUN}/{{data}}/images.parquet",
        code=code("split"),
    output:
        split=f"{RUN}/{{data}}/{{protocol}}/split.json",
    log:
        f"{RUN}/logs/{{data}}/{{protocol}}/split_dataset.log",
    benchmark:
        f"{RUN}/benchmarks/{{data}}/{{protocol}}/split_dataset.tsv"
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        protocol=split_options,
        seed=seed_of,
        fraction=config["prepare"]["test_fraction"],
    shell:
        "legor1 split {input.instances:q} --images {input.images:q} {params.protocol}"
        " --seed {params.seed} --test-fraction {params.fraction} --out {output.split:q}"
        " 2>&1 | tee {log:q}"


rule convert_dataset:
    input:
        instances=f"{RUN}/{{data}}/instances.parquet",
        split=f"{RUN}/{{data}}/{{protocol}}/split.json",
        code=code("convert"),
    output:
        conversations=expand(
            f"{RUN}/{{data}}/{{protocol}}/{{variant}}/{{side}}.jsonl",
            variant=["plain", "reasoning"],
            side=["train", "test"],
            allow_missing=True,
        ),
    log:
        f"{RUN}/logs/{{data}}/{{protocol}}/convert_dataset.log",
    benchmark:
        f"{RUN}/benchmarks/{{data}}/{{protocol}}/convert_dataset.tsv"
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        out=lambda wildcards, input: Path(input.split).parent,
        protocol=convert_options,
        seed=seed_of,
    shell:
        "legor1 convert {input.instances:q} {input.split:q} {params.protocol}"
        " --seed {params.seed} --out {params.out:q} 2>&1 | tee {log:q}"


rule audit_dataset:
    input:
        instances=f"{RUN}/{{data}}/instances.parquet",
        split=f"{RUN}/{{data}}/{{protocol}}/split.json",
        images=f"{RUN}/{{data}}/images.parquet",
        conversations=rules.convert_dataset.output.conversations,
        code=code("audit"),
    output:
        audit=report(
            f"{RUN}/{{data}}/{{protocol}}/audit.json",
            caption="../report/captions/audit.rst",
            category="Data",
            labels={"protocol": "{protocol}", "of": "{data}"},
        ),
    log:
        f"{RUN}/logs/{{data}}/{{protocol}}/audit_dataset.log",
    benchmark:
        f"{RUN}/benchmarks/{{data}}/{{protocol}}/audit_dataset.tsv"
    conda:
        "../../envs/prepare.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        tree=lambda wildcards: f"{RUN}/{wildcards.data}/tree",
        conversations=lambda wildcards, input: Path(input.split).parent,
    shell:
        "legor1 audit {input.instances:q} {input.split:q} {params.conversations:q}"
        " --tree {params.tree:q} --images {input.images:q} --out {output.audit:q} 2>&1 | tee {log:q}"
