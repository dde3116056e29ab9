# Needs: nothing but the config, a folder of the user's, or the network.
# Gives: data/tree with its manifest.json, base/model.json (where the base model lies).
# The manifest stands for the tree: it has every file's checksum, a folder only a time.

if config["dataset"]["source"] == "synthetic":

    rule fetch_dataset:
        output:
            manifest=layout.data.manifest,
        log:
            layout.log("data/fetch_dataset"),
        benchmark:
            layout.benchmark("data/fetch_dataset")
        conda:
            "../../envs/prepare.yaml"
        threads: 2
        resources:
            mem_mb=1000,
            runtime=30,
        params:
            tree=layout.data.tree,
            scenes=drawing_options(config["dataset"]["synthetic"]),
            code=code("synthesize", "manifest"),
        shell:
            "(legor1 synthesize {params.tree:q} {params.scenes} --workers {threads}"
            " && legor1 manifest {params.tree:q} --out {output.manifest:q}) > {log:q} 2>&1"

else:

    rule fetch_dataset:
        input:
            dialogues=dialogue_files(),
        output:
            manifest=layout.data.manifest,
        log:
            layout.log("data/fetch_dataset"),
        benchmark:
            layout.benchmark("data/fetch_dataset")
        localrule: True
        conda:
            "../../envs/prepare.yaml"
        threads: 1
        resources:
            mem_mb=1000,
            runtime=240,
        params:
            tree=layout.data.tree,
            source=source_options(config["dataset"], "dataset"),
            sizes=own_sizes,
            code=code("fetch", "manifest"),
        shell:
            "(legor1 fetch dataset {params.source} --out {params.tree:q}"
            " && legor1 manifest {params.tree:q} --out {output.manifest:q}) > {log:q} 2>&1"


rule fetch_base:
    input:
        model=base_files(),
    output:
        model=layout.base_model,
    log:
        layout.log("base/fetch_base"),
    benchmark:
        layout.benchmark("base/fetch_base")
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        source=source_options(config["base"], "model"),
        code=code("fetch"),
    shell:
        "legor1 fetch model {params.source} --out {output.model:q} > {log:q} 2>&1"
