"""trio_codex measured beside what a user would pick instead: `python -m benchmarks`, or `nox -s bench`.

`scenarios` says what is done and measured, `contestants` who does it: separate axes that meet in `client`, the few things that a scenario
asks of a library. `server` is the other side, one fast scripted process; `contest` runs everybody in turn, `report` says how it went.
Only the standard library is needed here: each contestant runs in a virtual environment of its own, see `environments`.
"""
