"""The fault campaign: `python -m tests.faults -n 60 --seed 7`; `docs/architecture/faults.md` tells what it does."""
