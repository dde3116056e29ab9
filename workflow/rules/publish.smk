# Needs: published/<run>.dvc and the DVC remote, where the config says `adapters: pull`.
# Gives: adapters/<experiment>/ as published, in place of its training.
# An adapter that is here already, to the last byte, is no job's output: nothing after it is rerun.

from legor1.publishing.pull_adapter import to_pull
from legor1.publishing.outputs import pointer

PULLED = []
if config["adapters"] == "pull":
    with user_errors():
        recipes = {name: job_params.training_job(config, name).as_mapping() for name in TRAINED}
        PULLED = to_pull(Path(RUN), recipes)


rule pull_adapter:
    input:
        pointer=pointer(Path(RUN)),
    output:
        weights=layout.weights("{experiment}"),
        settings=layout.adapter_config("{experiment}"),
        history=report(
            layout.history("{experiment}"),
            caption="../report/captions/history.rst",
            category="Training",
            labels={"experiment": "{experiment}", "file": "every logged step"},
        ),
        run=report(
            layout.training("{experiment}"),
            caption="../report/captions/run.rst",
            category="Training",
            labels={"experiment": "{experiment}", "file": "recipe and cost"},
        ),
    log:
        layout.log("pull/{experiment}"),
    benchmark:
        layout.benchmark("pull/{experiment}")
    wildcard_constraints:
        experiment=any_of(PULLED),
    localrule: True
    conda:
        "../../envs/all.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        recipe=training_recipe,
        out=lambda wildcards, output: Path(output.run).parent,
        code=code("pull"),
    shell:
        "legor1 pull {params.out:q} --recipe {params.recipe:q} > {log:q} 2>&1"
