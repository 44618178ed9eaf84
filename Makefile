# Each target is one line over plain commands; `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-quick lint bench bench-peers kafka schemas docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: .venv/.installed ## make a virtual environment with everything (again when it or a kernel changes)
# pip goes first: the one that Python brings may be too old to know dependency groups.
.venv/.installed: pyproject.toml hatch_build.py $(wildcard stream_maas/native/*.pyx)
	@echo "Installing into .venv (about a minute) ..."
	$(PYTHON) -m venv .venv && $(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e '.[all]' --group dev && touch $@

demo: setup ## real sentences through an embedded broker: redacted, classified, audited
	$(BIN)/stream-maas demo

test: setup ## the whole suite: unit, contract, embedded broker, Apache Kafka
	$(BIN)/python -m pytest

test-quick: setup ## what needs no broker
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not embedded and not kafka and not training and not browser"

lint: setup ## ruff, mypy, codespell
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/codespell

bench: setup ## the worker against a bare consumer loop, one run, ratios
	$(BIN)/python -m benchmarks

bench-peers: setup ## the worker against FastStream, Quix Streams and MLServer, each in an environment of its own
	$(BIN)/python -m benchmarks.peers

kafka: setup ## a real Apache Kafka on loopback, in the foreground
	$(BIN)/stream-maas broker --kafka

schemas: setup ## write schemas/asyncapi.yaml again from the topic table
	$(BIN)/python -m stream_maas.asyncapi schemas/asyncapi.yaml

docs: setup ## write the generated tables of docs/ again from the code
	$(BIN)/python tests/test_docs.py

clean: ## remove the virtual environment, build output and caches
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
