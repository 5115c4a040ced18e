# From a fresh clone: `make demo` or `make test`. `make help` lists the rest.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VOGE_CPU ?= AUTO
VOGE_CUDA ?= AUTO
# One kind of GPU, so that building stays quick; the package by itself builds for all (all-major).
CUDA_ARCHITECTURES ?= 90

VENV := .venv
BIN := $(VENV)/bin
SOURCES := CMakeLists.txt pyproject.toml $(wildcard csrc/*.h csrc/*/*)
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup build test check format bench demo docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# torch goes first and by name: a range would bring gigabytes of CUDA packages to machines without a GPU.
$(VENV)/torch: Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	@touch $@

$(VENV)/installed: $(VENV)/torch $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable ".[dev]" --config-settings=cmake.define.VOGE_CPU=$(VOGE_CPU) \
		--config-settings=cmake.define.VOGE_CUDA=$(VOGE_CUDA) \
		--config-settings=cmake.define.CMAKE_CUDA_ARCHITECTURES=$(CUDA_ARCHITECTURES)
	@touch $@

setup: $(VENV)/installed ## make .venv with everything in it, compiled code included

build: ## compile csrc/ again
	@rm -f $(VENV)/installed
	@$(MAKE) --no-print-directory setup

test: setup ## run the tests
	$(BIN)/python -m pytest -n $(JOBS)

test-gpu: setup ## the renderer's tests on CUDA, then the sanitizer; needs a GPU and a torch for it
	VOGE_TEST_BACKENDS=cuda $(BIN)/python -m pytest tests/test_cuda.py tests/test_operators.py tests/test_render.py tests/test_bounds.py tests/test_sample.py tests/test_texture.py tests/test_bench.py
	compute-sanitizer --tool memcheck --error-exitcode 1 $(BIN)/python tests/sanitize.py
	compute-sanitizer --tool racecheck --error-exitcode 1 $(BIN)/python tests/sanitize.py

check: setup ## format, lint and types, then the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror csrc/*.h csrc/*/*
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(JOBS)

format: setup ## put the code into its one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i csrc/*.h csrc/*/*

bench: setup ## time the renderer: the CPU's tables of docs/performance.md
	$(BIN)/voge bench cube:29@128 cube:29@256 --peer torch
	$(BIN)/voge bench cube:29 --sizes 128,256,512,1024
	$(BIN)/voge bench cube:29@256 'widths=[0.5,1,2,4]'

demo: setup ## convert and render the packaged teapot into runs/demo
	$(BIN)/voge demo --out runs/demo --overwrite

$(VENV)/docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet $$($(BIN)/python -c "from importlib.metadata import requires; \
		print(*(r.split(';')[0] for r in requires('voge') if r.endswith('\"docs\"')))")
	@touch $@

docs: $(VENV)/docs ## the site with the reference of settings and API, in build/site; opens without a server
	$(BIN)/python docs/reference.py
	PATH="$(abspath $(BIN)):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

clean: ## remove the environment and everything built
	rm -rf $(VENV) build runs
