"""What a CUDA card does with the engine: every row of docs/benchmarks.md's section on it, in six minutes.

    python benchmarks/cuda.py --json cuda.json
    python benchmarks/cuda.py --rows held rivals --minutes 2

The parts are in `on_card`: `rows.py` lists them.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Instead of this folder, whose cuda.py would take the name of NVIDIA's own package.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.on_card.command import main

    sys.exit(main())
