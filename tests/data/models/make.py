"""Record torchvision's parameter names and outputs: python tests/data/models/make.py   writes   expected.json

Every model's names and shapes as a fingerprint, and the outputs of one of each kind with made-up weights
(tests/engine/models/made.py).
"""

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "engine" / "models")]

import made  # noqa: E402
import torch  # noqa: E402
from numserve.engine import models  # noqa: E402
from torchvision_oracle import torchvision  # noqa: E402

MODELS = torchvision().models


def fill(model: torch.nn.Module) -> torch.nn.Module:
    state = {name: torch.from_numpy(made.weight(name, value.shape)) for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    return model.eval()


def outputs(function: str, options: dict[str, Any], size: int) -> list[list[float]]:
    with torch.no_grad():
        return (
            fill(getattr(MODELS, function)(**options)).double()(torch.from_numpy(made.picture(size)).double()).tolist()
        )


def features(function: str) -> list[list[float]]:
    model = fill(getattr(MODELS, function)(init_weights=False).features)
    with torch.no_grad():
        return model.double()(torch.from_numpy(made.picture(32)).double()).flatten(1)[:, ::8].tolist()


def main() -> None:
    quick = {"inception_v3": {"init_weights": False}}
    names = [name for name in models.__all__ if name.islower()]
    with torch.device("meta"):
        built = {name: getattr(MODELS, name)(**quick.get(name, {})) for name in names}
    keys = {
        name: made.fingerprint((k, v.shape) for k, v in model.state_dict().items()) for name, model in built.items()
    }
    record = {
        "torchvision": sys.modules["torchvision"].__version__,
        "keys": keys,
        "outputs": {name: outputs(*run) for name, run in made.RUNS.items()},
        "features": {name: features(name) for name in made.VGG_FEATURES},
    }
    rounded = json.loads(json.dumps(record), parse_float=lambda text: float(f"{float(text):.8g}"))
    (HERE / "expected.json").write_text(json.dumps(rounded, indent=1) + "\n")


if __name__ == "__main__":
    main()
