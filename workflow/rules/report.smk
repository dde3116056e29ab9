# Needs: table.csv and all that the numbers in it come from.
# Gives: report.html, and config.json, the resolved config that it shows; gallery.html, single examples
#        (their images in full size lie in gallery_images/); tables/results.*, its results table for
#        other documents; figure1.html, the rewards of trainings that differ in nothing else, which
#        needs the trainings alone.


rule render_report:
    input:
        table=f"{RUN}/table.csv",
        comparison=[f"{RUN}/comparison.json"] if len(EXPERIMENTS) > 1 else [],
        scores=expand(
            f"{RUN}/scores/{{experiment}}/{{evaluation}}/{{file}}",
            experiment=EXPERIMENTS,
            evaluation=EVALUATIONS,
            file=["scores.json", "per_example.parquet"],
        ),
        predictions=expand(f"{RUN}/predictions/{{experiment}}.jsonl", experiment=EXPERIMENTS),
        training=expand(
            f"{RUN}/adapters/{{experiment}}/{{file}}",
            experiment=TRAINED,
            file=["run.json", "history.jsonl"],
        ),
        data=expand(
            f"{RUN}/data/{{file}}",
            file=["manifest.json", "instances.parquet", "quarantine.jsonl"],
        ),
        protocols=expand(
            f"{RUN}/data/{{protocol}}/{{file}}",
            protocol=PREPARED,
            file=["split.json", "audit.json"],
        ),
        conversations=sorted({conversations_of(name, "test") for name in EXPERIMENTS}),
        base=f"{RUN}/base/model.json",
        code=code("report"),
    output:
        report=report(
            f"{RUN}/report.html",
            caption="../report/captions/report.rst",
            category="Study",
            labels={"page": "the whole study"},
        ),
        gallery=f"{RUN}/gallery.html",
        config=f"{RUN}/config.json",
        tables=[
            report(
                f"{RUN}/tables/results.{kind}",
                caption="../report/captions/results.rst",
                category="Results",
                labels={"table": "the report's table", "format": kind},
            )
            for kind in ("csv", "json", "md", "tex")
        ],
    log:
        f"{RUN}/logs/render_report.log",
    benchmark:
        f"{RUN}/benchmarks/render_report.tsv"
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        run=lambda wildcards, output: Path(output.report).parent,
        tables=lambda wildcards, output: Path(output.tables[0]).parent,
        config=json.dumps(config),  # in its own order, which is that of the columns
    shell:
        "(legor1 config --base-config {params.config:q} --out {output.config:q}"
        " && legor1 report {params.run:q} --out {output.report:q} --tables {params.tables:q}"
        " --gallery {output.gallery:q}) 2>&1 | tee {log:q}"


rule draw_figure1:
    input:
        history=expand(f"{RUN}/adapters/{{experiment}}/history.jsonl", experiment=SIDE_BY_SIDE),
        code=code("figure1"),
    output:
        figure=report(
            f"{RUN}/figure1.html",
            caption="../report/captions/figure1.rst",
            category="Study",
            labels={"page": "Figure 1"},
        ),
    log:
        f"{RUN}/logs/draw_figure1.log",
    benchmark:
        f"{RUN}/benchmarks/draw_figure1.tsv"
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        trainings=[f"{name}={RUN}/adapters/{name}" for name in SIDE_BY_SIDE],
    shell:
        "legor1 figure1 {params.trainings:q} --out {output.figure:q} 2>&1 | tee {log:q}"
