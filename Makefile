PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
DISTRIBUTIONS := $(addprefix -e ,. registry tasks $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml)))

.PHONY: help demo results claims test test-all lint bench docs clean

help:
	@echo "make demo    train an ITNet on pictures of digits, load it again, and draw its kernels (demo/)"
	@echo "make results fetch real data, train every modality on it, and write the table in docs/results.md (1 hour)"
	@echo "make claims  convert real pretrained models into integral operators, and compare what they compute"
	@echo "make test    lint, types and the whole test suite"
	@echo "make test-all the same with the tests that take long (half an hour)"
	@echo "make lint    ruff and mypy"
	@echo "make bench   measure everything beside its peers (20 minutes), and write docs/benchmarks/ and benchmarks/results/"
	@echo "make docs    write the reference from the code, and build the documentation in site/"
	@echo "make clean   remove .venv and what the demo made"

$(INSTALLED): constraints.txt pyproject.toml $(wildcard registry/pyproject.toml tasks/pyproject.toml plugins/*/pyproject.toml plugins/native/source/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python {sys.version.split()[0]} found, 3.11 or later needed: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(DISTRIBUTIONS) --group dev
	@touch $@

demo: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/itnet train examples/digits.yaml --output demo/digits --overwrite
	$(BIN)/itnet evaluate demo/digits/best
	$(BIN)/python examples/draw_digits.py demo/digits/best demo/digits.png

results: $(INSTALLED)
	$(BIN)/python examples/fetch_data.py all
	$(BIN)/python benchmarks/results.py

claims: $(INSTALLED)
	$(BIN)/python examples/fetch_data.py minilm reviews languages efficientnet-lite0 resemblyzer silero-vad
	$(BIN)/python examples/claims.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 -m 'not slow'

test-all: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

bench: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	for name in evaluators quasilinear samplers low_rank special_cases; do $(BIN)/python benchmarks/$$name.py || exit 1; done

docs: $(INSTALLED)
	$(BIN)/python docs/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv demo site
