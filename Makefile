PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
FOLDERS := . registry tasks meta $(PLUGINS)
DISTRIBUTIONS := $(addprefix -e ,$(FOLDERS))
TESTS := tests registry/tests tasks/tests meta/tests $(wildcard plugins/*/tests)
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder

.PHONY: help dist wheelhouse demo results evidence evidence-quick claims test test-all coverage lint bench docs clean

help:
	@echo "make install-image  install images, training and fused sums in .venv (CPU=1: without CUDA; install-image,text,…: several)"
	@echo "make dist      build the wheels of all distributions in dist/: pip install --find-links dist 'itnet[image,train]'"
	@echo "make wheelhouse     the same with the wheels that they need, to install without network (EXTRAS=image,train CPU=1)"
	@echo "make demo      train an ITNet on images of digits, load the checkpoint, draw and explain its kernels (demo/; 2 minutes)"
	@echo "make results   fetch data, train on every modality, and write the table in docs/results.md (1 hour)"
	@echo "make evidence  compare ITNets with specialised networks at equal budget: docs/evidence.md (many hours, resumable; evidence-quick: 20 minutes)"
	@echo "make claims    convert pretrained models into integral operators, and compare their outputs"
	@echo "make test      lint, and run all tests except the slow ones"
	@echo "make test-all  lint, and run all tests (half an hour)"
	@echo "make coverage  run all tests except the slow ones, and report lines that are not covered"
	@echo "make lint      check style with ruff, types with mypy, and the metadata of the distributions"
	@echo "make bench     compare speed and memory with other libraries: docs/benchmarks/, benchmarks/results/ (1 hour)"
	@echo "make docs      generate the reference from the code, and build the documentation in site/"
	@echo "make clean     remove .venv, demo/ and site/"

$(INSTALLED): constraints.txt pyproject.toml $(wildcard registry/pyproject.toml tasks/pyproject.toml meta/pyproject.toml plugins/*/pyproject.toml plugins/native/source/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python {sys.version.split()[0]} found, 3.11 or later needed: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(DISTRIBUTIONS) --group dev
	@touch $@

# Wheels of the distributions, all of them in one command: a clone has no other index that they could come from.
dist:
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip "hatchling>=1.26"
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist $(addprefix ./,$(FOLDERS))

EXTRAS ?= image,train
CPU_WHEELS := $(if $(CPU),--extra-index-url https://download.pytorch.org/whl/cpu)  # of torch: +cpu sorts first

wheelhouse: dist
	$(BIN)/python -m pip wheel --quiet --find-links dist --wheel-dir dist $(CPU_WHEELS) "itnet[$(EXTRAS)]"

install-%: dist
	$(BIN)/python -m pip install --find-links dist $(CPU_WHEELS) "itnet[$*,train]"

demo: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/itnet train examples/digits.yaml --output demo/digits --overwrite
	$(BIN)/itnet evaluate demo/digits/best
	$(BIN)/itnet explain demo/digits/best --output demo/explained

results: $(INSTALLED)
	$(BIN)/python examples/fetch_data.py all
	$(BIN)/python benchmarks/results.py

evidence evidence-quick: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	$(BIN)/python examples/fetch_data.py all
	$(BIN)/python benchmarks/compare.py $(if $(filter %-quick,$@),--quick)

claims: $(INSTALLED)
	$(BIN)/python examples/fetch_data.py minilm reviews languages efficientnet-lite0 resemblyzer silero-vad crepe
	$(BIN)/python examples/claims.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/bump.py --check
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases $(TESTS)  # a second run: bases tell files of one name apart

test: lint
	$(PYTEST) -m 'not slow'

test-all: lint
	$(PYTEST)

coverage: $(INSTALLED)
	$(PYTEST) -m 'not slow' --cov --cov-report=term

bench: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	for name in blocks evaluators local quasilinear samplers low_rank special_cases compiled; do $(BIN)/python benchmarks/$$name.py || exit 1; done

docs: $(INSTALLED)
	$(BIN)/python docs/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv demo site
