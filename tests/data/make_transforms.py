"""Records what torchvision makes of the pictures of tests/handlers/pictures.py: run with torch and torchvision at hand.

python tests/data/make_transforms.py   writes   tests/data/transforms.json
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "handlers")]

import pictures  # noqa: E402
from torchvision_oracle import torchvision  # noqa: E402


def main() -> None:
    torchvision()
    from torchvision import transforms

    known = pictures.cases(transforms) | {"as it is": transforms.Compose([])}
    digests = {
        key: pictures.digest(pictures.run(transforms, known[case], image))
        for key, (case, image) in pictures.recorded().items()
    }
    (HERE / "transforms.json").write_text(json.dumps(digests, indent=1) + "\n")


if __name__ == "__main__":
    main()
