"""`medistill serve` with limits that a test can reach."""

import sys
from dataclasses import replace

import torch

from medistill.serve.app.door import limits

if __name__ == "__main__":
    torch.set_num_threads(1)
    small = {
        "upload_bytes": 2_000_000,
        "json_bytes": 60_000,
        "body_seconds": 15.0,
        "pause_seconds": 15.0,
        "head_seconds": 15.0,
    }
    limits.LIMITS = replace(limits.LIMITS, **small, pixels=4_000_000, requests_per_second=10_000.0)
    from medistill.cli import main

    main(["serve", *sys.argv[1:]])
