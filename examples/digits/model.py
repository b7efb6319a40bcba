"""The model file of the digits example: a small convolutional network."""

from numserve.engine import nn


class DigitsNet(nn.Module):
    """Three convolutions and a linear layer: (N, 1, 8, 8) with grey values from 0 to 1 → (N, 10) scores."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(32, 32, kernel_size=3, padding=1)
        self.dropout = nn.Dropout(0.25)
        self.fc = nn.Linear(32 * 2 * 2, 10)

    def forward(self, x):
        """Scores of the digits 0 to 9."""
        x = nn.functional.relu(self.conv1(x))
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv2(x)), 2)
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv3(x)), 2)
        return self.fc(self.dropout(x.flatten(1)))
