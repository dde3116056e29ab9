# Needs: table.csv and all that the numbers in it come from.
# Gives: report.html, and config.json, the resolved config that it shows; gallery.html, single examples
#        (their images in full size lie in gallery_images/); tables/results.*, its results table for
#        other documents; figure1.html, the rewards of trainings that differ in nothing else, which
#        needs the trainings alone.


rule render_report:
    input:
        table=layout.table,
        comparison=[layout.comparison] if len(EXPERIMENTS) > 1 else [],
        scores=expand(
            [
                layout.scores("{experiment}", "{evaluation}"),
                layout.per_example("{experiment}", "{evaluation}"),
            ],
            experiment=EXPERIMENTS,
            evaluation=EVALUATIONS,
        ),
        predictions=expand(layout.predictions("{experiment}"), experiment=EXPERIMENTS),
        training=expand(
            [layout.training("{experiment}"), layout.history("{experiment}")],
            experiment=TRAINED,
        ),
        probes=expand(layout.probe("{experiment}"), experiment=PROBED),
        data=[layout.data.manifest, layout.data.instances, layout.data.quarantine],
        protocols=expand(
            [layout.data.split("{protocol}"), layout.data.audit("{protocol}")],
            protocol=PREPARED,
        ),
        conversations=sorted({conversations_of(name, "test") for name in EXPERIMENTS}),
        base=layout.base_model,
    output:
        report=report(
            layout.report,
            caption="../report/captions/report.rst",
            category="Study",
            labels={"page": "the whole study"},
        ),
        gallery=layout.gallery,
        config=layout.config,
        tables=[
            report(
                layout.results_table(kind),
                caption="../report/captions/results.rst",
                category="Results",
                labels={"table": "the report's table", "format": kind},
            )
            for kind in ("csv", "json", "md", "tex")
        ],
    log:
        layout.log("render_report"),
    benchmark:
        layout.benchmark("render_report")
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
        config=json.dumps(STUDY),  # in its own order, which is that of the columns
        code=code("report"),
    shell:
        "(legor1 config --base-config {params.config:q} --out {output.config:q}"
        " && legor1 report {params.run:q} --out {output.report:q} --tables {params.tables:q}"
        " --gallery {output.gallery:q}) > {log:q} 2>&1"


rule draw_figure1:
    input:
        history=expand(layout.history("{experiment}"), experiment=SIDE_BY_SIDE),
    output:
        figure=report(
            layout.figure1,
            caption="../report/captions/figure1.rst",
            category="Study",
            labels={"page": "Figure 1"},
        ),
    log:
        layout.log("draw_figure1"),
    benchmark:
        layout.benchmark("draw_figure1")
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        trainings=[f"{name}={RUN}/adapters/{name}" for name in SIDE_BY_SIDE],
        code=code("figure1"),
    shell:
        "legor1 figure1 {params.trainings:q} --out {output.figure:q} > {log:q} 2>&1"
