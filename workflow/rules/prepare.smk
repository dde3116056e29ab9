# Needs: data/tree with its manifest.json.
# Gives: instances.parquet, quarantine.jsonl, images.parquet, and for each protocol split.json,
# {plain,reasoning}/{train,test}.jsonl and audit.json.


rule index_dataset:
    input:
        manifest=layout.data.manifest,
    output:
        instances=layout.data.instances,
        quarantine=layout.data.quarantine,
    log:
        layout.log("data/index_dataset"),
    benchmark:
        layout.benchmark("data/index_dataset")
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        tree=layout.data.tree,
        options=index_options(),
        code=code("index"),
    shell:
        "legor1 index {params.tree:q} --out {output.instances:q}"
        " --quarantine {output.quarantine:q} {params.options} > {log:q} 2>&1"


rule fingerprint_images:
    input:
        manifest=layout.data.manifest,
        instances=layout.data.instances,
    output:
        images=layout.data.images,
    log:
        layout.log("data/fingerprint_images"),
    benchmark:
        layout.benchmark("data/fingerprint_images")
    conda:
        "../../envs/prepare.yaml"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        tree=layout.data.tree,
        code=code("fingerprint"),
    shell:
        "legor1 fingerprint {input.instances:q} --tree {params.tree:q} --workers {threads}"
        " --out {output.images:q} > {log:q} 2>&1"


rule split_dataset:
    input:
        instances=layout.data.instances,
        images=layout.data.images,
    output:
        split=layout.data.split("{protocol}"),
    log:
        layout.log("data/{protocol}/split_dataset"),
    benchmark:
        layout.benchmark("data/{protocol}/split_dataset")
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        protocol=lambda wildcards: split_options(config["protocols"][wildcards.protocol]),
        seed=config["seed"],
        fraction=config["prepare"]["test_fraction"],
        code=code("split"),
    shell:
        "legor1 split {input.instances:q} --images {input.images:q} {params.protocol}"
        " --seed {params.seed} --test-fraction {params.fraction} --out {output.split:q}"
        " > {log:q} 2>&1"


rule convert_dataset:
    input:
        instances=layout.data.instances,
        split=layout.data.split("{protocol}"),
    output:
        conversations=expand(
            layout.data.conversations("{protocol}", "{variant}", "{side}"),
            variant=["plain", "reasoning"],
            side=["train", "test"],
            allow_missing=True,
        ),
    log:
        layout.log("data/{protocol}/convert_dataset"),
    benchmark:
        layout.benchmark("data/{protocol}/convert_dataset")
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        out=lambda wildcards, input: Path(input.split).parent,
        protocol=lambda wildcards: convert_options(config["protocols"][wildcards.protocol]),
        seed=config["seed"],
        code=code("convert"),
    shell:
        "legor1 convert {input.instances:q} {input.split:q} {params.protocol}"
        " --seed {params.seed} --out {params.out:q} > {log:q} 2>&1"


rule audit_dataset:
    input:
        instances=layout.data.instances,
        split=layout.data.split("{protocol}"),
        images=layout.data.images,
        conversations=rules.convert_dataset.output.conversations,
    output:
        audit=report(
            layout.data.audit("{protocol}"),
            caption="../report/captions/audit.rst",
            category="Data",
            labels={"protocol": "{protocol}"},
        ),
    log:
        layout.log("data/{protocol}/audit_dataset"),
    benchmark:
        layout.benchmark("data/{protocol}/audit_dataset")
    conda:
        "../../envs/prepare.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        tree=layout.data.tree,
        conversations=lambda wildcards, input: Path(input.split).parent,
        code=code("audit"),
    shell:
        "legor1 audit {input.instances:q} {input.split:q} {params.conversations:q}"
        " --tree {params.tree:q} --images {input.images:q} --out {output.audit:q} > {log:q} 2>&1"
