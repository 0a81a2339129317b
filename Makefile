# Every target calls Python in an environment it makes on first use; see bootstrap.py.
PYTHON ?= python3
CONFIG ?= sim
BOARD  ?= ulx3s-85f
IN = $(PYTHON) bootstrap.py

.PHONY: run gen sim test check bench cost bitstream flash clean

run:        ; @$(IN) sim,examples -- python examples/digits/run.py --config $(CONFIG)
gen:        ; @$(IN) hw -- mantissa gen
sim:        ; @$(IN) bench -- mantissa verify
test:       ; @$(IN) dev -- ruff check -- mypy -- python -m pytest -n 2 --dist worksteal -q
check:      ; @$(IN) dev -- ruff check -- mypy -- pyright
bench:      ; @$(IN) dev -- python bench/gemm.py
cost:       ; @$(IN) fpga -- mantissa cost
bitstream:  ; @$(IN) fpga -- mantissa bitstream $(BOARD)
flash:      ; @$(IN) flash -- mantissa flash $(BOARD)
clean:      ; @rm -rf build .venv .venv.lock
