"""Train the text classification example on sentences that it makes up itself, with this engine alone.

python examples/text_classification/train.py          trains, prints a table, writes topics.pth and source_vocab.pt
python examples/text_classification/train.py --help   what can be varied
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from model import Topics
from numserve import engine
from numserve.engine import nn, optim
from numserve.handlers.text import numbers_of
from numserve.handlers.text_classifier import TextClassifier

HERE = Path(__file__).parent
TOPICS = ("weather", "cooking", "sports", "computers")
SUBJECTS = (
    ("the storm", "a cold wind", "the morning fog", "heavy rain", "the sun", "thick snow", "the forecast"),
    ("the soup", "the dough", "a pinch of salt", "the oven", "fresh basil", "the onion", "the sauce"),
    ("the team", "our goalkeeper", "the coach", "a late penalty", "the marathon", "the striker", "the referee"),
    ("the server", "a new laptop", "the compiler", "the network", "a bug", "the database", "the keyboard"),
)  # fmt: skip
ENDS = (
    ("hits the coast tonight", "clears before noon", "isn't over yet", "freezes the roads", "brings rain"),
    ("needs ten more minutes", "smells of garlic", "isn't sweet enough", "rises in a warm bowl", "tastes of lemon"),
    ("wins the final match", "scores in the last minute", "won't play on Sunday", "sets a record", "ends in a draw"),
    ("crashes after the reboot", "doesn't answer requests", "stores every file twice", "needs a patch"),
)  # fmt: skip
BEGINS = (
    "",
    "they say that ",
    "today, ",
    "once again ",
    "to be honest, ",
    "I'm told ",
    "it's said that ",
    "this week ",
)
CLOSES = (".", "!", ", again.", " and nobody's surprised.", ", we think.", ", isn't it?", " as always.")


def sentences(count: int, dice: random.Random) -> list[tuple[str, int]]:
    """Made-up sentences with the numbers of their topics; a fifth of them begins with another topic's words."""
    made = []
    for number in range(count):
        topic = number % len(TOPICS)
        astray = dice.randrange(len(TOPICS)) if dice.random() < 0.2 else topic
        parts = (
            dice.choice(BEGINS),
            dice.choice(SUBJECTS[astray]),
            " ",
            dice.choice(ENDS[topic]),
            dice.choice(CLOSES),
        )
        made.append(("".join(parts).capitalize(), topic))
    return made


def vocabulary(texts: Sequence[str], size: int) -> dict[str, int]:
    """Numbers for what is unknown, and for the words and pairs of words that are there most often."""
    counts = Counter(token for text in texts for token in TextClassifier().tokens(text))
    return {token: number for number, token in enumerate(["<unk>", *(t for t, _ in counts.most_common(size - 1))])}


def bags(texts: Sequence[str], numbers: dict[str, int]) -> tuple[engine.Tensor, engine.Tensor]:
    """The texts as the model gets them: numbers in a line, and where each text begins."""
    found = [[number for _, number in numbers_of(TextClassifier().tokens(text), numbers)] for text in texts]
    starts = [0, *accumulate(map(len, found))][:-1]
    return engine.tensor([number for each in found for number in each]), engine.tensor(starts)


@engine.no_grad()
def accuracy(model: nn.Module, examples: Sequence[tuple[str, int]], numbers: dict[str, int]) -> float:
    """The share of the texts whose topic the model gets right."""
    scores = model.eval()(*bags([text for text, _ in examples], numbers))
    return float((scores.argmax(1) == engine.tensor([topic for _, topic in examples])).numpy().mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "topics.pth", help="where the weights go")
    options = parser.parse_args(arguments)

    engine.manual_seed(options.seed)
    dice = random.Random(options.seed)
    training, held_out = sentences(2000, dice), sentences(400, random.Random(options.seed + 1))
    numbers = vocabulary([text for text, _ in training], 1024)
    model = Topics()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    print("epoch   loss  held out")
    for epoch in range(1, options.epochs + 1):
        dice.shuffle(training)
        total = 0.0
        for start in range(0, len(training), 50):
            texts, topics = zip(*training[start : start + 50], strict=True)
            loss = nn.functional.cross_entropy(model.train()(*bags(texts, numbers)), engine.tensor(list(topics)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(texts) / len(training)
        print(f"{epoch:5}  {total:.3f}  {accuracy(model, held_out, numbers):8.1%}")
    engine.save(model.state_dict(), options.out)
    engine.save(numbers, options.out.parent / "source_vocab.pt")


if __name__ == "__main__":
    main()
