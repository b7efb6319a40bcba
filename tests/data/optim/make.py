"""Record torch's steps: python tests/data/optim/make.py   writes   expected.json

Twenty steps of each optimiser and schedule of tests/engine/optim/runs.py.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "engine" / "optim"))

import runs  # noqa: E402
import torch  # noqa: E402


def steps(name: str) -> list[list[float]]:
    """The first parameter's elements after each step."""
    kind, options = runs.OPTIMIZERS[name]
    parameters = [torch.nn.Parameter(torch.from_numpy(value)) for value in runs.start()]
    optimizer = getattr(torch.optim, kind)(parameters, **options)
    seen = []
    for step in range(20):
        for position, parameter in enumerate(parameters):
            parameter.grad = torch.from_numpy(runs.gradient(step, position, parameter.detach().numpy()))
        optimizer.step()
        seen.append(torch.cat([p.detach().flatten() for p in parameters]).tolist())
    return seen


def rates(schedule: object, optimizer: torch.optim.Optimizer, *measures: list[float]) -> list[float]:
    seen = []
    for step in range(20):
        optimizer.step()
        schedule.step(*(m[step] for m in measures))
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def main() -> None:
    schedulers, record = torch.optim.lr_scheduler, {"torch": torch.__version__, "steps": {}, "rates": {}}
    record["steps"] = {name: steps(name) for name in runs.OPTIMIZERS}
    for name, (kind, options) in runs.SCHEDULES.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        record["rates"][name] = rates(getattr(schedulers, kind)(optimizer, **options), optimizer)
    for name, options in runs.PLATEAUS.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        record["rates"][name] = rates(schedulers.ReduceLROnPlateau(optimizer, **options), optimizer, runs.MEASURES)
    rounded = json.loads(json.dumps(record), parse_float=lambda text: float(f"{float(text):.9g}"))
    (HERE / "expected.json").write_text(json.dumps(rounded) + "\n")


if __name__ == "__main__":
    main()
