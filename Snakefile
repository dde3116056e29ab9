# The study, from the dataset to the report:
#
#   snakemake --configfile workflow/configs/demo.yaml     on a laptop
#   snakemake --workflow-profile slurm                    the full study on a cluster
#
# The workflow itself is workflow/Snakefile, which also lends its rules to other workflows.


include: "workflow/Snakefile"


workflow.default_target = "all"  # `include` leaves it unset
