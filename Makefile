# The two commands of the README are `make demo` and `make test`; both set up what they need.

BIN := .venv/bin
# Arrow, torch and BLAS take every core that they see; jobs side by side then stand in each other's way.
export OMP_NUM_THREADS ?= 1
RUN ?= study
# Test files run side by side in so many processes, each with up to 3 GB and one thread.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
BENCHMARKS := data rewards scoring sft grpo inference report

.PHONY: demo ablation test test-slow test-chaos test-cluster test-browser test-large test-gpu rehearsal benchmarks $(BENCHMARKS:%=benchmark-%) benchmark-gpu \
	docs lint lock setup crate publish restore shop-window clean help

help:
	@echo "make demo        run the study on drawn brick manuals: results/demo/report.html"
	@echo "make ablation    measure what published defects move in the demo: results/demo/ablation.html"
	@echo "make crate       pack a finished run as an RO-Crate: RUN=study, or RUN=demo and so on"
	@echo "make test        run the tests"
	@echo "make test-slow   run the tests that take long"
	@echo "make test-chaos  kill the small study again and again, in every stage: about 10 minutes"
	@echo "make test-cluster run studies on a SLURM that it starts here, and disturb them: needs root"
	@echo "make test-browser open the report in Chromium: screen, phone, paper, hostile words; 3 minutes"
	@echo "make rehearsal   run config.yaml and thesis_first.yaml, small, from a hub that it starts: 10 minutes"
	@echo "make test-large  run the real 3B and 7B architectures with random weights: 19 GiB of memory"
	@echo "make test-gpu    run the tests that need a GPU"
	@echo "make lint        run formatters, linters and the type checker"
	@echo "make docs        build the documentation as a site: site/index.html"
	@echo "make publish     push a finished run to the DVC remote: RUN=study, or RUN=demo and so on"
	@echo "make restore     bring a published run back and check it; likewise"
	@echo "make shop-window show a finished demo in the README: RUN=demo"
	@echo "make setup       make .venv"
	@echo "make lock        renew the pins in envs/; with UPGRADE=1 to the newest releases"
	@echo "make benchmark-data       time the data stages on a tree of the dataset's full size"
	@echo "make benchmark-rewards    time the rewards"
	@echo "make benchmark-scoring    time the scoring of 9,000 predictions"
	@echo "make benchmark-sft        time SFT beside TRL's stock trainer"
	@echo "make benchmark-grpo       time a GRPO step beside TRL's stock trainer"
	@echo "make benchmark-inference  time few-shot predictions beside the plain loop"
	@echo "make benchmark-report     time the report of the finished demo, and of 9,000 examples with 3 seeds"
	@echo "make benchmark-gpu        time the 7B model on a GPU: training, inference, and the plan of both"
	@echo "make benchmarks           time all of these but the last"
	@echo "make clean       remove the results of demo and smoke, and caches"

demo: setup
	@[ -e results/demo/report.html ] || echo "Running the demo: 10 to 20 minutes on 2 cores, 8 GB of memory."
	@$(BIN)/snakemake --configfile workflow/configs/demo.yaml
	@echo "The report: $(CURDIR)/results/demo/report.html"

ablation: setup
	@[ -e results/demo/ablation.html ] || echo "Running the demo's ablation: 29 trainings, about an hour on 2 cores."
	@$(BIN)/snakemake ablation --configfile workflow/configs/demo.yaml workflow/configs/ablation_demo.yaml
	@echo "What each defect moves: $(CURDIR)/results/demo/ablation.html"

crate: setup
	@$(BIN)/legor1 crate results/$(RUN) --out results/$(RUN).crate.zip

test: setup
	@echo "Running the tests: some minutes."
	@$(PYTEST)

test-slow: setup
	@$(PYTEST) -m slow

test-chaos: setup
	@$(BIN)/python -m pytest -m chaos -s tests/chaos

test-cluster: setup
	@$(BIN)/python -m pytest -m cluster tests/cluster

test-browser: setup
	@$(BIN)/python -m pytest -m browser tests/browser

rehearsal: setup
	@$(BIN)/python -m pytest -m rehearsal -s tests/rehearsal

test-large: setup
	@$(BIN)/python -m pytest -m large

test-gpu: setup
	@$(BIN)/python -m pytest -m gpu

publish restore: setup
	@$(BIN)/legor1 $@ results/$(RUN)

shop-window: setup
	@$(BIN)/python docs/shop_window.py results/$(RUN)

benchmarks: $(BENCHMARKS:%=benchmark-%)

$(BENCHMARKS:%=benchmark-%) benchmark-gpu: benchmark-%: setup
	@$(BIN)/python benchmarks/$*.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile workflow/rules
	$(BIN)/snakemake --lint
	$(BIN)/snakemake --lint --snakefile workflow/Snakefile
	$(BIN)/snakemake --lint --configfile workflow/configs/demo.yaml
	$(BIN)/mypy
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml

docs: setup
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "The documentation: $(CURDIR)/site/index.html"

lock: setup
	@$(BIN)/python envs/lock.py $(if $(UPGRADE),--upgrade)

setup:
	@envs/setup.sh

clean:
	rm -rf results/demo results/smoke results/*.crate.zip .pytest_cache .ruff_cache .mypy_cache .hypothesis
