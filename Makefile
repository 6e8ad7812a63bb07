# One verb a task. `make demo` and `make test` need nothing but Python 3.11 or newer.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
HAS_GPU := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU && echo yes)
EXTRA := $(if $(HAS_GPU),gpu,cpu)
DATA ?= errata-data
# Processes that share the tests, a file each at a time; 0 runs them in one. About 1 GB of memory each.
WORKERS ?= 2

.PHONY: help demo serve test test-slow check fix protos bench setup clean

help: ## lists the verbs
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Errata needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Without a GPU a CPU build of torch comes first, so that nothing later pulls CUDA in. Where pip's
# own indexes have none, uv does: it knows where PyTorch publishes its CPU builds.
$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
ifneq ($(HAS_GPU),yes)
	@$(BIN)/python -c 'import torch' 2>/dev/null || { \
		echo "Installing torch $(TORCH), CPU build ..."; \
		$(PIP) install -q "torch==$(TORCH)+cpu" 2>/dev/null || \
		{ [ "$$(uname -s)" = Darwin ] && $(PIP) install -q "torch==$(TORCH)"; } || \
		{ $(PIP) install -q uv && $(BIN)/uv pip install -q --python $(BIN)/python \
			--torch-backend cpu "torch==$(TORCH)"; } || \
		{ echo "No CPU build of torch $(TORCH) was found. Install one into $(VENV) yourself" \
		       "and run make again."; exit 1; }; }
endif
	@echo "Installing Errata ($(EXTRA)) ..."
	@$(PIP) install -q -c constraints.txt -e ".[$(EXTRA)]"
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Installing the tools for tests and checks ..."
	@$(PIP) install -q -c constraints.txt -e ".[$(EXTRA),dev]"
	@touch $@

setup: $(VENV)/.dev ## makes the virtual environment with everything in it

demo: $(VENV)/.runtime ## serves, asks, edits, asks again, and shows the routes
	@$(BIN)/errata demo

serve: $(VENV)/.runtime ## keeps a server running on 127.0.0.1:50051
	@$(BIN)/errata serve --data-dir $(DATA)

test: $(VENV)/.dev ## passes the tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-slow: $(VENV)/.dev ## the tests that take longer
	$(BIN)/python -m pytest -m slow --timeout 1800

check: $(VENV)/.dev ## linters and type checker; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

fix: $(VENV)/.dev ## formats and repairs what can be repaired by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Stubs come from the oldest grpcio-tools that we support, so that newer protobufs load them.
protos: | $(BIN)/python ## makes the gRPC stubs anew
	@[ -x $(VENV)-protos/bin/python ] || $(PYTHON) -m venv $(VENV)-protos
	@$(VENV)-protos/bin/python -m pip install -q grpcio-tools==1.75.1 googleapis-common-protos
	$(VENV)-protos/bin/python protos/generate.py

bench: $(VENV)/.dev ## prints the speed tables (a quarter of an hour or more)
	$(BIN)/python -m benchmarks.run_all

clean: ## removes the virtual environments and caches
	rm -rf $(VENV) $(VENV)-protos .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
