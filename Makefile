PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OPEN_CLIP := .venv-open-clip
DOCS := .venv-docs
PACKAGES := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
TORCH := -c 'from importlib.metadata import version; print(version("torch"))'
# Two processes of tests, which share the files out between them: as many as CI has cores. What they start
# keeps to one thread each: more would wait for one another.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
EXTRA := -c 'import sys, tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"][sys.argv[1]])'

.PHONY: demo test check check-open-clip check-cuda lint site clean

demo: $(VENV)/.installed
	$(BIN)/medistill quickstart --out quickstart

test: lint
	$(PYTEST)

check: $(VENV)/.installed-dev
	$(PYTEST) -m slow

# On a card, in whatever environment holds torch for it: `make check-cuda PYTHON=python3`. The other tests are not
# even imported: they need more than is there.
check-cuda:
	$(PYTHON) -m pytest -m cuda -rs $$(grep -rl --include='*.py' 'mark\.cuda' tests)

check-open-clip: $(OPEN_CLIP)/.installed
	$(OPEN_CLIP)/bin/python -m pytest -p tests.open_clip.operators tests/open_clip tests/model/test_timm.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --project .

# Dead links, a module that is gone and anything loaded from another host are errors.
site: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.installed

# torchvision stays out of $(VENV): this environment lies over it and adds what open_clip needs, a few MB
# beside the same torch.
$(OPEN_CLIP)/.installed: pyproject.toml constraints.txt $(VENV)/.installed-dev
	$(BIN)/python -m venv --clear $(OPEN_CLIP)
	echo "import site; site.addsitedir('$$($(BIN)/python $(PACKAGES))')" \
		> "$$($(OPEN_CLIP)/bin/python $(PACKAGES))/base.pth"
	$(OPEN_CLIP)/bin/python -m pip install --quiet "torch==$$($(BIN)/python $(TORCH))" "$$($(BIN)/python $(EXTRA) open_clip)"
	touch $@

# The reference is read from the sources, not imported: neither medistill nor torch is needed.
$(DOCS)/.installed: pyproject.toml
	$(PYTHON) -m venv --clear $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet $$($(DOCS)/bin/python $(EXTRA) docs)
	touch $@

clean:
	rm -rf $(VENV) $(OPEN_CLIP) $(DOCS) quickstart site build dist .pytest_cache .ruff_cache
