# Needs: nothing but the config, a folder of the user's, or the network.
# Gives: data/tree with its manifest.json, base/model.json (where the base model lies).
# The manifest stands for the tree: it has every file's checksum, a folder only a time.

if config["dataset"]["source"] == "synthetic":

    rule fetch_dataset:
        input:
            code=code("synthesize", "manifest"),
        output:
            manifest=f"{RUN}/data/manifest.json",
        log:
            f"{RUN}/logs/data/fetch_dataset.log",
        benchmark:
            f"{RUN}/benchmarks/data/fetch_dataset.tsv"
        conda:
            "../../envs/prepare.yaml"
        threads: 2
        resources:
            mem_mb=1000,
            runtime=30,
        params:
            tree=f"{RUN}/data/tree",
            scenes=drawing_options(config["dataset"]["synthetic"]),
        shell:
            "(legor1 synthesize {params.tree:q} {params.scenes} --workers {threads}"
            " && legor1 manifest {params.tree:q} --out {output.manifest:q}) 2>&1 | tee {log:q}"

else:

    rule fetch_dataset:
        input:
            dialogues=dialogue_files(),
            code=code("fetch", "manifest"),
        output:
            manifest=f"{RUN}/data/manifest.json",
        log:
            f"{RUN}/logs/data/fetch_dataset.log",
        benchmark:
            f"{RUN}/benchmarks/data/fetch_dataset.tsv"
        localrule: True
        conda:
            "../../envs/prepare.yaml"
        threads: 1
        resources:
            mem_mb=1000,
            runtime=240,
        params:
            tree=f"{RUN}/data/tree",
            source=source_options(config["dataset"], "dataset"),
            sizes=own_sizes,
        shell:
            "(legor1 fetch dataset {params.source} --out {params.tree:q}"
            " && legor1 manifest {params.tree:q} --out {output.manifest:q}) 2>&1 | tee {log:q}"


rule fetch_base:
    input:
        model=base_files(),
        code=code("fetch"),
    output:
        model=f"{RUN}/base/model.json",
    log:
        f"{RUN}/logs/base/fetch_base.log",
    benchmark:
        f"{RUN}/benchmarks/base/fetch_base.tsv"
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        source=source_options(config["base"], "model"),
    shell:
        "legor1 fetch model {params.source} --out {output.model:q} 2>&1 | tee {log:q}"


rule draw_base_scenes:
    input:
        code=code("synthesize", "manifest"),
    output:
        manifest=f"{RUN}/base/data/manifest.json",
    log:
        f"{RUN}/logs/base/data/draw_base_scenes.log",
    benchmark:
        f"{RUN}/benchmarks/base/data/draw_base_scenes.tsv"
    conda:
        "../../envs/prepare.yaml"
    threads: 2
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        tree=f"{RUN}/base/data/tree",
        scenes=drawing_options(config["base"]["rebuild"]["scenes"]),
    shell:
        "(legor1 synthesize {params.tree:q} {params.scenes} --workers {threads}"
        " && legor1 manifest {params.tree:q} --out {output.manifest:q}) 2>&1 | tee {log:q}"
