"""
The law a second time: slow, plain, and written from the pages (`docs/architecture/law.md`, `acts.md`), not from the code.

`words.py` who a message speaks for, where a reading stands; `case.py` one case and its clock; `time.py` H, held, law time;
`law.py` what follows from a sighting, and what falls due; `asked.py` what follows from a request. None of it looks at `decide`,
`schedule`, `evolve` or `acts`: it shares only records and policy with them. `pair.py` runs the real fold beside it and compares
after every step, `always.py` holds what must be true whatever happens, `life.py` makes steps of bytes, `machine.py` draws the bytes.
"""
