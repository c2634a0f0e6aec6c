# Everything a newcomer needs; `make help` lists the targets.
PYTHON ?= python3.11
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
DEMO ?= $(CURDIR)/demo
STUDIES ?= $(DEMO)/studies/imagesTr
SERIES ?= $(DEMO)/series
FEDERATED := $(DEMO)/federated
PORT ?= 8000
DICOM_PORT ?= 8043
CASE ?= metro_001
TESTS ?= tests/bundle

# What annotation in OHIF is tried and tested with, and what DICOM objects are checked with.
DEBIAN := chromium orthanc orthanc-dicomweb dicom3tools plastimatch

# The environment's own programs come first: MONAI Label starts a plain `python`, and dcmqi's tools must be found.
export PATH := $(BIN):$(PATH)
export PYTHONUNBUFFERED := 1
export MLFLOW_DISABLE_TELEMETRY := true

RUN := python -m monai.bundle run
EVALUATE := --config_file "['bundle/configs/inference.json','bundle/configs/evaluate.json']"
EVALUATE_DEMO := $(EVALUATE) --dataset_dir $(DEMO)/studies --output_dir $(DEMO)/masks

# SITE: what a file of configs/sites states of DATA, instead of what its dataset.json says.
REAL := $(DEMO)/real/$(or $(SITE),scans)
EVALUATE_REAL := $(EVALUATE) --dataset_dir $(if $(SITE),$(REAL),$(DATA)) --output_dir $(REAL)/masks

# NNUNET: Python of an environment with nnunetv2, whose predictor then takes part. ENGINES: of one with openvino and nncf,
# and zlib-ng.
# SCANS: of patients, NIfTI; without them their figures stay as they are. Masks are compared on the first, int8 is
# quantised with the others. GPU=1: the figures of a machine with one, a column of their own once they are there.
PERFORMANCE := PYTHONPATH=bundle:apps/dualtask:tests python benchmarks
RESULTS := $(if $(QUICK),$(DEMO),docs/results)/performance
FIGURES := $(RESULTS)$(if $(GPU),_gpu)
CONTEST := $(if $(QUICK),--rounds 1) $(if $(NNUNET),--nnunet $(NNUNET))

.DEFAULT_GOAL := help
.PHONY: help demo demo-real test lint format manifest figures bench robustness real-scans figures-real check-site fetch-msd pictures
.PHONY: archive-demo clicks doubt federated federated-figures serve serve-dicomweb debian clean test-bundle zoo

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

# The stamp is as old as the environment: a change of the pins brings it up to date.
$(VENV)/installed: requirements.txt requirements-dev.txt tests/bundle/requirements.txt bundle/requirements.txt constraints.txt
	@echo "Setting up the environment in $(VENV) (3 to 5 minutes, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(DEMO)/studies/dataset.json: | $(VENV)/installed
	PYTHONPATH=bundle python -m dualtask.phantom --output $(DEMO)/studies \
		--sites coastal alpine --cases-per-site 2 --seed 2026

$(DEMO)/series/dataset.json: | $(VENV)/installed
	PYTHONPATH=bundle python -m dualtask.phantom --output $(DEMO)/series --dicom \
		--sites coastal alpine --cases-per-site 2 --seed 2026

$(DEMO)/training_synthetic/dataset.json: | $(VENV)/installed
	PYTHONPATH=bundle python -m dualtask.phantom --output $(DEMO)/training_synthetic --cases-per-site 10 --seed 0

$(DEMO)/clicks/dataset.json: | $(VENV)/installed
	PYTHONPATH=bundle python -m dualtask.phantom --output $(DEMO)/clicks --cases-per-site 2 --seed 6000

$(FEDERATED)/data/test/dataset.json: | $(VENV)/installed
	for site in alpine coastal valley; do \
		PYTHONPATH=bundle python -m dualtask.phantom --output $(FEDERATED)/data/$$site --sites $$site \
			--cases-per-site 8 --seed 0 --matrix 96 || exit; \
	done
	PYTHONPATH=bundle python -m dualtask.phantom --output $(FEDERATED)/data/test --cases-per-site 8 --seed 9000 --matrix 96

# Never fails: where apt cannot bring them, the tests are skipped and `make serve-dicomweb` says what is missing.
# RUNLEVEL keeps Orthanc's own service, which would listen to other machines, from being started.
debian:
	@dpkg -s $(DEBIAN) >/dev/null 2>&1 || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || { \
		echo "Installing $(DEBIAN) (once) ..."; \
		export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
		timeout 300 apt-get -qq -o Acquire::http::Timeout=20 update >/dev/null 2>&1; \
		timeout 900 apt-get -qq -o Acquire::http::Timeout=20 install -y --no-install-recommends $(DEBIAN) \
			>/dev/null 2>&1; \
	} || echo "apt-get cannot install $(DEBIAN): what needs them is left out."

demo: $(VENV)/installed ## synthetic studies, inference, evaluation, fine-tuning, HTML reports in demo/
	@echo "== 1 of 4: synthetic studies of two sites"
	@$(MAKE) --no-print-directory $(DEMO)/studies/dataset.json
	@echo "== 2 of 4: inference and evaluation"
	$(RUN) evaluating $(EVALUATE_DEMO) --reports true
	@echo "== 3 of 4: fine-tuning for a few iterations"
	$(RUN) training --config_file "['bundle/configs/train.json','bundle/configs/finetune.json']" \
		--dataset_dir $(DEMO)/studies --output_dir $(DEMO)/finetuning --ckpt_dir $(DEMO)/finetuning/models \
		--train#trainer#max_epochs 4 --val_interval 2
	@echo "== 4 of 4: report"
	$(RUN) reporting $(EVALUATE_DEMO) --history $(DEMO)/finetuning/history.json
	@echo
	@echo "Open $(DEMO)/masks/report.html in a browser (synthetic data; not a medical device)."
	@echo "Each study has a page of its own beside it, $(DEMO)/masks/<study>_report.html."
	@echo "Next: 'make serve-dicomweb' annotates in OHIF, 'make serve' in 3D Slicer; README.md says how to use your own scans."

demo-real: $(VENV)/installed ## inference, evaluation, HTML report of real scans (DATA=<folder>, SITE=btcv where it has no dataset.json)
	@test -n "$(DATA)" || { echo "error: no scans are named: give DATA=<folder>, see docs/how-to/real-scans.md."; exit 1; }
ifdef SITE
	@$(MAKE) --no-print-directory check-site
	PYTHONPATH=bundle:research python -m dualtask_research.sites combine --site configs/sites/$(SITE).json $(DATA) \
		--checks_dir $(DEMO)/sites --output_dir $(REAL)
endif
	$(RUN) evaluating $(EVALUATE_REAL)
	$(RUN) reporting $(EVALUATE_REAL)
	@echo
	@echo "Open $(REAL)/masks/report.html in a browser (not a medical device; it shows patients' scans)."

test: $(VENV)/installed debian lint ## lint and all tests
	python -m pytest bundle/dualtask research --doctest-modules
	python -m pytest tests/test_docs.py tests/bundle tests/research tests/benchmarks tests/model_zoo -n 2 --dist loadfile
	python -m pytest tests/app tests/battery # alone: they drive servers and viewers, and look at the clock

# Apart from the app, which keeps numpy and pydicom below their newest: the bundle works with those, too.
test-bundle: ## the bundle's tests alone, in an environment of their own (PYTHON=python3.13, TESTS=tests/bundle)
	@version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || { \
		echo "error: $(PYTHON) does not run: install it, or give another one, as PYTHON=<command or path>."; exit 1; }; \
	environment=.venv-bundle-$$version; \
	test -x $$environment/bin/python || $(PYTHON) -m venv $$environment || exit; \
	echo "Setting up the environment in $$environment ..." && \
	$$environment/bin/python -m pip install --quiet --disable-pip-version-check -r tests/bundle/requirements.txt && \
	$$environment/bin/python -m pytest $(TESTS)

lint: $(VENV)/installed ## style and static checks
	ruff check .
	ruff format --check .
	mypy

format: $(VENV)/installed ## repair style
	ruff check --fix .
	ruff format .

manifest: $(VENV)/installed ## bundle/manifest.sha256, after a change of the bundle's files
	PYTHONPATH=bundle:apps/dualtask python -m lib.manifest bundle

zoo: $(VENV)/installed ## the folder to submit to MONAI's Model Zoo in demo/model_zoo, and what is left to do
	PYTHONPATH=bundle python -m model_zoo --output $(DEMO)/model_zoo

figures: $(VENV)/installed ## table of docs/reference/figures.md, picture of the README: held-out synthetic scans of every site
	PYTHONPATH=bundle python -m dualtask.phantom --output $(DEMO)/held_out --cases-per-site 6 --seed 5000
	$(RUN) evaluating $(EVALUATE) --dataset_dir $(DEMO)/held_out --output_dir $(DEMO)/held_out_masks \
		--maps "['probability','distance']"
	PYTHONPATH=bundle python benchmarks/held_out_sites.py --dataset $(DEMO)/held_out \
		--predictions $(DEMO)/held_out_masks --picture docs/images/result.png

doubt: $(VENV)/installed ## bundle/models/doubt.json for new weights, after `make real-scans` (DATA=<other folder>, CACHE=<its scans on disk>)
	PYTHONPATH=bundle:research python -m dualtask_research.doubt $(or $(DATA),$(DEMO)/real_scans) --without_sites nih_slab \
		--held_out configs/real_figures.json --output_dir $(DEMO)/doubt $(if $(CACHE),--cache_dir $(CACHE))

real-scans: $(DEMO)/training_synthetic/dataset.json ## training data of the shipped weights in demo/real_scans (BTCV=, MSD=, NIH=, AMOS=<folder>)
	@$(MAKE) --no-print-directory check-site SITE=btcv_assembled DATA=$(BTCV)
	@$(MAKE) --no-print-directory check-site SITE=msd_partial DATA=$(MSD)
	@$(MAKE) --no-print-directory check-site SITE=nih_slab DATA=$(NIH)
	@$(MAKE) --no-print-directory check-site SITE=amos DATA=$(AMOS)
	@$(MAKE) --no-print-directory check-site SITE=synthetic DATA=$(DEMO)/training_synthetic
	PYTHONPATH=bundle:research python -m dualtask_research.sites combine --site configs/sites/btcv_assembled.json $(BTCV) \
		--site configs/sites/msd_partial.json $(MSD) --site configs/sites/nih_slab.json $(NIH) --site configs/sites/amos.json $(AMOS) \
		--site configs/sites/synthetic.json $(DEMO)/training_synthetic \
		--checks_dir $(DEMO)/sites --output_dir $(DEMO)/real_scans

figures-real: $(VENV)/installed ## table of real scans in docs/reference/figures.md, after `make real-scans`
	$(RUN) evaluating --config_file "['bundle/configs/inference.json','bundle/configs/evaluate.json','configs/real_figures.json']" \
		--dataset_dir $(DEMO)/real_scans --output_dir $(DEMO)/real_masks
	PYTHONPATH=bundle python benchmarks/held_out_sites.py --dataset $(DEMO)/real_scans --predictions $(DEMO)/real_masks

clicks: $(DEMO)/clicks/dataset.json ## docs/reference/clicks.md: correction by clicks, measured, and timed (DATA=<folder of `make real-scans`>)
	PYTHONPATH=bundle:apps/dualtask:tests:research python benchmarks/clicks.py --studies $(DEMO)/clicks \
		--output docs/results/clicks/answers.json
	PYTHONPATH=bundle:research python -m dualtask_research.clicks --synthetic $(DEMO)/clicks \
		--real $(or $(DATA),$(DEMO)/real_scans) --real_cases configs/real_figures.json \
		--answers docs/results/clicks/answers.json --table docs/results/clicks/cases.csv \
		--page docs/reference/clicks.md --picture docs/images/clicks.png

check-site: $(VENV)/installed ## verify a copy of a site (SITE=nih_pancreas_ct DATA=<folder>)
	PYTHONPATH=bundle:research python -m dualtask_research.sites check configs/sites/$(SITE).json $(DATA) \
		--output_dir $(DEMO)/sites

fetch-msd: $(VENV)/installed ## download MSD Task07 (DATA=<folder>; needs the internet, 11 GB)
	PYTHONPATH=bundle:research python -m dualtask_research.sites fetch $(DATA)

pictures: $(VENV)/installed ## docs/images: what the method estimates, and its views (needs the scans of `make figures`)
	$(RUN) --config_file bundle/configs/inference.json --maps "['probability','distance','uncertainty']" \
		--datalist "['$(DEMO)/held_out/imagesTr/$(CASE).nii.gz']" --output_dir $(DEMO)/pictures
	PYTHONPATH=bundle python benchmarks/method_pictures.py --dataset $(DEMO)/held_out \
		--predictions $(DEMO)/pictures --case $(CASE) --output docs/images

bench: $(VENV)/installed ## docs/reference/performance.md: speed, side by side (QUICK=1: small scans, few repeats, under demo/)
	$(PERFORMANCE)/precision.py $(if $(QUICK),--repeats 1) --output $(FIGURES)/precision.json
	$(PERFORMANCE)/limit.py $(if $(QUICK),--repeats 1) --output $(FIGURES)/limit.json
	$(PERFORMANCE)/training_step.py $(if $(QUICK),--steps 1) --output $(FIGURES)/training_step.json
	$(PERFORMANCE)/inference.py --shape $(if $(QUICK),64 64 20,512 512 20) $(CONTEST) --output $(FIGURES)/inference_thin.json
	$(PERFORMANCE)/inference.py --shape $(if $(QUICK),96 96 40,512 512 200) $(CONTEST) --output $(FIGURES)/inference.json
	$(if $(QUICK)$(SCANS),$(PERFORMANCE)/real_scans.py $(SCANS) $(if $(QUICK),--rounds 1) --output $(FIGURES)/real_scans.json)
	PYTHONPATH=bundle $(or $(ENGINES),python) benchmarks/storage.py $(if $(QUICK),--shape 96 96 40 --rounds 1) --output $(FIGURES)/storage.json
	$(PERFORMANCE)/imports.py $(if $(QUICK),--rounds 1) --output $(FIGURES)/imports.json
	$(PERFORMANCE)/scaling.py $(if $(QUICK),--quick) --output $(FIGURES)/scaling.json
	$(PERFORMANCE)/responsiveness.py $(if $(QUICK),--quick) --output $(FIGURES)/responsiveness.json
	PYTHONPATH=bundle $(or $(ENGINES),python) benchmarks/engines.py \
		$(if $(SCANS),--scan $(firstword $(SCANS)) --calibration $(wordlist 2,99,$(SCANS))) $(if $(QUICK),--rounds 2) --output $(FIGURES)/engines.json
	$(PERFORMANCE)/performance_page.py $(RESULTS) $(if $(QUICK),$(RESULTS),docs/reference)/performance.md \
		$(if $(wildcard $(RESULTS)_gpu/engines.json)$(GPU),--gpu $(RESULTS)_gpu)

robustness: $(VENV)/installed ## docs/reference/robustness.md and docs/reference/load.md: damaged inputs, faults, load
	PYTHONPATH=bundle:apps/dualtask:tests python -m battery
	PYTHONPATH=bundle:apps/dualtask:tests python benchmarks/load.py --output docs/reference/load.md

archive-demo: $(VENV)/installed ## docs/reference/archive.md: 60 synthetic series by two workers, one of them killed
	PYTHONPATH=bundle python benchmarks/archive.py --output docs/reference/archive.md

federated: $(FEDERATED)/data/test/dataset.json ## three synthetic sites train together by NVFlare's simulator, weights in demo/federated/
	PYTHONPATH=bundle:research python -m dualtask_research.federated train configs/federated/synthetic.json \
		--data_dir $(FEDERATED)/data --output_dir $(FEDERATED)/trained

federated-figures: $(FEDERATED)/data/test/dataset.json ## docs/reference/federated.md: federated training against sites alone and pooled
	PYTHONPATH=bundle:research python -m dualtask_research.federated compare configs/federated/synthetic.json \
		--data_dir $(FEDERATED)/data --output_dir $(FEDERATED)/comparison
	PYTHONPATH=bundle:research:benchmarks python benchmarks/federated_faults.py --data $(FEDERATED)/data \
		--output docs/results/federated/faults.json
	PYTHONPATH=bundle:research python -m dualtask_research.federated report configs/federated/synthetic.json \
		--results $(FEDERATED)/comparison --faults docs/results/federated/faults.json \
		--table docs/results/federated/cases.csv --page docs/reference/federated.md

serve: $(VENV)/installed ## annotation server on the demo studies (STUDIES=<folder or DICOMweb URL>, PORT=8000)
	@test "$(STUDIES)" != "$(DEMO)/studies/imagesTr" || $(MAKE) --no-print-directory $(DEMO)/studies/dataset.json
	python -m monailabel.main start_server --app apps/dualtask --studies $(STUDIES) --host 127.0.0.1 --port $(PORT)

serve-dicomweb: $(VENV)/installed debian ## Orthanc with the demo series, the app on it, OHIF (SERIES=<folder of DICOM>)
	@test "$(SERIES)" != "$(DEMO)/series" || $(MAKE) --no-print-directory $(DEMO)/series/dataset.json
	@PYTHONPATH=bundle:apps/dualtask python -m lib.dicomweb --series $(SERIES) --folder $(DEMO)/dicomweb \
		--port $(PORT) --dicom-port $(DICOM_PORT)

clean: ## remove what the targets made, except the environment
	rm -rf $(DEMO) .pytest_cache .ruff_cache .mypy_cache .hypothesis
