# The study, from the dataset to the report:
#
#   snakemake --configfile workflow/configs/demo.yaml     on a laptop
#   snakemake --workflow-profile slurm                    the full study on a cluster
#
# Targets: all (default), fetch (what needs the network), rebuild_base (the tiny base model),
# figure1 (two rewards side by side, with workflow/configs/thesis_first.yaml or figure1.yaml).

from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/common.smk"


report: "workflow/report/workflow.rst"


rule all:
    input:
        report=layout.report,
        table=layout.table,


rule fetch:
    input:
        dataset=layout.data.manifest,
        base=layout.base_model,


rule figure1:
    input:
        figure=layout.figure1,


rule rebuild_base:
    input:
        model=f"{layout.tiny_base}/model.safetensors",


include: "workflow/rules/fetch.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/publish.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


# Not a rule: a dry run must plan the full study on any machine.
onstart:
    stop_if_something_is_missing()
    note_start()
