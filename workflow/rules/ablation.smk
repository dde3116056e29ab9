# Needs: the dataset, the base model, and the experiments and trainings that `ablation` of the config
# names.
# Gives: ablation/data/<protocol>/, ablation/common.json, ablation/tests/, ablation/plan.json, and as
# that says, once for all variants that are alike, ablation/{adapters,predictions}/<key>; then
# ablation.json, ablation.csv and ablation.html.

from legor1.config import ablation

TRIED = layout.ablation
with user_errors():
    VARIANTS = ablation.variants(typed(config))
    TRIED_PROTOCOLS = {
        name: one.as_mapping() for name, one in ablation.expanded(typed(config)).protocols.items()
    }
# (protocol, variant of the prompts) of what is asked.
ASKED = sorted({(one.protocol, one.variant) for one in VARIANTS})
# Trainings that the study makes anyway, as far as they may be the same.
TRAINED_ANYWAY = [name for name in TRAINED if family(config, name) in config["ablation"]["of"]]
# What the plan depends on: not on how results are shown or scored, nor on how long a job may take.
PLANNED = {
    name: value
    for name, value in config.items()
    if name not in ("report", "evaluation", "wall_minutes", "columns", "seeds")
}


def shared(kind, key):
    """Return what the plan says of a training or a prediction, once it is made."""
    plan = checkpoints.plan_ablation.get().output.plan
    return json.loads(Path(plan).read_text(encoding="utf-8"))[kind][key]


def shared_recipe(kind):
    """Return what gives the recipe of a training or a prediction, as JSON."""
    return lambda wildcards: json.dumps(shared(kind, wildcards.key)["recipe"], sort_keys=True)


def shared_conversations(kind):
    """Return what gives the conversations that a training or a prediction reads."""
    return lambda wildcards: f"{RUN}/{shared(kind, wildcards.key)['conversations']}"


def shared_adapter(wildcards):
    """Return the files of the adapter that a prediction is made with, if it is."""
    if (key := shared("predictions", wildcards.key)["training"]) is None:
        return []
    own = shared("trainings", key)["experiment"]
    return files_of_adapter(own) if own else [TRIED.weights(key), TRIED.adapter_config(key)]


def shared_code(wildcards):
    """Return a digest of the code that a training runs."""
    training = shared("trainings", wildcards.key)["recipe"]
    own = suites.sources(training["training"].get("rewards", ()))
    return code_digest.digest(f"train {training['method']}", files=own)


def all_shared(wildcards):
    """Return the predictions of the whole plan, and what its trainings cost."""
    plan = checkpoints.plan_ablation.get().output.plan
    content = json.loads(Path(plan).read_text(encoding="utf-8"))
    trainings = [f"{RUN}/{one['folder']}/run.json" for one in content["trainings"].values()]
    return [*map(TRIED.predictions, content["predictions"]), *trainings]


wildcard_constraints:
    tried="|".join(TRIED_PROTOCOLS),
    key="(sft-|grpo-)?[0-9a-f]{12}",


rule ablation:
    input:
        page=layout.ablation_page,


use rule split_dataset as split_ablation with:
    output:
        split=TRIED.data.split("{tried}"),
    log:
        layout.log("ablation/{tried}/split_dataset"),
    benchmark:
        layout.benchmark("ablation/{tried}/split_dataset")
    params:
        protocol=lambda wildcards: split_options(TRIED_PROTOCOLS[wildcards.tried]),


use rule convert_dataset as convert_ablation with:
    input:
        instances=layout.data.instances,
        split=TRIED.data.split("{tried}"),
    output:
        conversations=expand(
            TRIED.data.conversations("{tried}", "{variant}", "{side}"),
            variant=["plain", "reasoning"],
            side=["train", "test"],
            allow_missing=True,
        ),
    log:
        layout.log("ablation/{tried}/convert_dataset"),
    benchmark:
        layout.benchmark("ablation/{tried}/convert_dataset")
    params:
        protocol=lambda wildcards: convert_options(TRIED_PROTOCOLS[wildcards.tried]),


use rule audit_dataset as audit_ablation with:
    input:
        instances=layout.data.instances,
        split=TRIED.data.split("{tried}"),
        images=layout.data.images,
        conversations=rules.convert_ablation.output.conversations,
    output:
        audit=TRIED.data.audit("{tried}"),
    log:
        layout.log("ablation/{tried}/audit_dataset"),
    benchmark:
        layout.benchmark("ablation/{tried}/audit_dataset")


rule find_common_test:
    input:
        tests=expand(TRIED.data.conversations("{tried}", "plain", "test"), tried=TRIED_PROTOCOLS),
    output:
        common=TRIED.common,
    log:
        layout.log("ablation/find_common_test"),
    benchmark:
        layout.benchmark("ablation/find_common_test")
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        rows=f"--rows {n}" if (n := config["ablation"].get("test_rows")) else "",
        seed=config["seed"],
        code=code("ablation-test"),
    shell:
        "legor1 ablation-test {input.tests:q} {params.rows} --seed {params.seed}"
        " --out {output.common:q} > {log:q} 2>&1"


rule take_common_rows:
    input:
        conversations=TRIED.data.conversations("{tried}", "{asked}", "test"),
        common=TRIED.common,
    output:
        test=TRIED.test("{tried}", "{asked}"),
    log:
        layout.log("ablation/{tried}/take_common_rows/{asked}"),
    benchmark:
        layout.benchmark("ablation/{tried}/take_common_rows/{asked}")
    wildcard_constraints:
        asked="plain|reasoning",
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("ablation-rows"),
    shell:
        "legor1 ablation-rows {input.conversations:q} --common {input.common:q}"
        " --out {output.test:q} > {log:q} 2>&1"


# Only what was converted tells which variants are alike: the jobs after this one follow from its
# output.
checkpoint plan_ablation:
    input:
        tests=[TRIED.test(*asked) for asked in ASKED],
        train=[TRIED.data.conversations(*asked, "train") for asked in ASKED],
        study=sorted({conversations_of(name, "train") for name in TRAINED_ANYWAY}),
    output:
        plan=TRIED.plan,
    log:
        layout.log("ablation/plan_ablation"),
    benchmark:
        layout.benchmark("ablation/plan_ablation")
    localrule: True
    conda:
        "../../envs/all.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        run=RUN,
        config=json.dumps(PLANNED),
        code=code("ablation-plan"),
    shell:
        "legor1 ablation-plan {params.run:q} --base-config {params.config:q}"
        " --out {output.plan:q} > {log:q} 2>&1"


use rule train_sft as train_ablated_sft with:
    input:
        conversations=shared_conversations("trainings"),
        manifest=layout.data.manifest,
        base=layout.base_model,
        start_from=[],
    output:
        weights=TRIED.weights("{key}"),
        settings=TRIED.adapter_config("{key}"),
        history=TRIED.history("{key}"),
        run=TRIED.training("{key}"),
    log:
        layout.log("ablation/train/{key}"),
    benchmark:
        layout.benchmark("ablation/train/{key}")
    wildcard_constraints:
        key="sft-[0-9a-f]{12}",
    params:
        recipe=shared_recipe("trainings"),
        code=shared_code,


use rule train_grpo as train_ablated_grpo with:
    input:
        conversations=shared_conversations("trainings"),
        manifest=layout.data.manifest,
        base=layout.base_model,
        start_from=[],
    output:
        weights=TRIED.weights("{key}"),
        settings=TRIED.adapter_config("{key}"),
        history=TRIED.history("{key}"),
        run=TRIED.training("{key}"),
    log:
        layout.log("ablation/train/{key}"),
    benchmark:
        layout.benchmark("ablation/train/{key}")
    wildcard_constraints:
        key="grpo-[0-9a-f]{12}",
    params:
        recipe=shared_recipe("trainings"),
        code=shared_code,


use rule predict_shard as predict_ablated with:
    input:
        conversations=shared_conversations("predictions"),
        manifest=layout.data.manifest,
        base=layout.base_model,
        adapter=shared_adapter,
    output:
        predictions=TRIED.shard("{key}", "{shard}"),
    log:
        layout.log("ablation/predict/{key}/{shard}"),
    benchmark:
        layout.benchmark("ablation/predict/{key}/{shard}")
    params:
        recipe=shared_recipe("predictions"),


use rule gather_predictions as gather_ablated with:
    input:
        shards=expand(
            TRIED.shard("{key}", "{shard}"),
            shard=range(config["inference"]["shards"]),
            allow_missing=True,
        ),
    output:
        predictions=TRIED.predictions("{key}"),
    log:
        layout.log("ablation/predict/{key}/gather_predictions"),
    benchmark:
        layout.benchmark("ablation/predict/{key}/gather_predictions")


rule measure_ablation:
    input:
        plan=TRIED.plan,
        common=TRIED.common,
        audits=expand(TRIED.data.audit("{tried}"), tried=TRIED_PROTOCOLS),
        shared=all_shared,
    output:
        effects=layout.ablation_effects,
        table=layout.ablation_table,
    log:
        layout.log("ablation/measure_ablation"),
    benchmark:
        layout.benchmark("ablation/measure_ablation")
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        run=RUN,
        intervals=interval_options(),
        code=code("ablation-measure"),
    shell:
        "legor1 ablation-measure {params.run:q} {params.intervals} --out {output.effects:q}"
        " --table {output.table:q} > {log:q} 2>&1"


rule render_ablation:
    input:
        effects=layout.ablation_effects,
    output:
        page=report(
            layout.ablation_page,
            caption="../report/captions/ablation.rst",
            category="Study",
            labels={"page": "what each defect moves"},
        ),
    log:
        layout.log("ablation/render_ablation"),
    benchmark:
        layout.benchmark("ablation/render_ablation")
    localrule: True
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("ablation-page"),
    shell:
        "legor1 ablation-page {input.effects:q} --out {output.page:q} > {log:q} 2>&1"
