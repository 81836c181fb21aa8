"""Our objective, then our step, in a loop and with a model of your own. Explained in docs/library.md."""

# %% A model that knows nothing of medistill: two small networks into one space.
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

torch.manual_seed(0)
VOCABULARY, DIM, SIDE, LENGTH = 40, 16, 8, 6


class TwoTowers(nn.Module):
    """Images (b, h, w) of 8-bit grey and token ids (b, l) to unit rows."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 64), nn.GELU(), nn.Linear(64, DIM))
        self.words = nn.EmbeddingBag(VOCABULARY, DIM)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def encode(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        image = self.image(images.float() / 127.5 - 1)
        return F.normalize(image, dim=1), F.normalize(self.words(tokens), dim=1)


def pairs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """A bright row and column say which two words go with the image."""
    random = torch.Generator().manual_seed(seed)
    row, column = torch.randint(0, SIDE, (2, count), generator=random)
    images = torch.randint(0, 80, (count, SIDE, SIDE), generator=random, dtype=torch.uint8)
    images[torch.arange(count), row] = 200
    images[torch.arange(count), :, column] = 200
    tokens = torch.randint(2 * SIDE, VOCABULARY, (count, LENGTH), generator=random)
    tokens[:, 0], tokens[:, 1] = row, SIDE + column
    return images, tokens


def recall(encode, count: int = 200) -> float:
    """How often an image finds its own text first among 200."""
    with torch.no_grad():
        image, text = encode(*pairs(count, seed=99))
    return float(((image @ text.T).argmax(dim=1) == torch.arange(count)).float().mean())


# %% 1. The objective alone: pure functions of embeddings, in a loop of yours.
from medistill.model.teacher import make_teacher, update_teacher
from medistill.objective import distilled_contrast, positive_mask

student = TwoTowers()
teacher = make_teacher(student)
optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3)
before = recall(student.encode)
for step in range(60):
    images, tokens = pairs(64, seed=step)
    ids = torch.arange(64)  # which pairs are of one study; and, by text, which reports read the same
    positive = positive_mask(ids, ids, ids, ids)
    with torch.no_grad():
        image_keys, text_keys = teacher.encode(images, tokens)
    image, text = student.encode(images, tokens)
    soft = {"scale": student.log_scale.exp(), "teacher_scale": teacher.log_scale.exp(), "alpha": 0.2}
    loss = distilled_contrast(image, text_keys, image_keys, positive, **soft)
    loss = (loss + distilled_contrast(text, image_keys, text_keys, positive, **soft)) / 2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    update_teacher(teacher, student, 0.9)
after = recall(teacher.encode)
print(f"objective in a plain loop: recall@1 {before:.3f} -> {after:.3f}")
assert after > 3 * before

# %% 2. The step: a window larger than memory holds, micro-batch by micro-batch. `forward` makes Embeddings.
from lightning_fabric import Fabric

from medistill.data.loader import Window
from medistill.engine.msd import Msd, MsdSettings
from medistill.engine.step import Batching, train_window
from medistill.model.dual import Embeddings


class Pluggable(TwoTowers):
    """The same, called as `train_window` calls a model."""

    def forward(self, images: Tensor, tokens: Tensor, mask: Tensor, lower: None = None) -> Embeddings:
        return Embeddings(*self.encode(images, tokens), self.log_scale.exp(), torch.zeros(()))


def window(count: int, seed: int) -> Window:
    images, tokens = pairs(count, seed)
    ids = torch.arange(count)
    return Window(images, tokens, torch.ones_like(tokens, dtype=torch.bool), study=ids, text=ids)


torch.manual_seed(0)
fabric = Fabric(accelerator="cpu", devices=1)
plain = Pluggable()
optimizer = torch.optim.AdamW(plain.parameters(), lr=3e-3)
module, optimizer = fabric.setup(plain, optimizer)
settings = MsdSettings(alpha=0.2, momentum=0.9, queue_in_use=False)  # or let them depend on (progress, epoch)
method = Msd(fabric, make_teacher(plain), schedule=lambda progress, epoch: settings, live_share=0.3)


def optimizer_step() -> bool:
    """Yours: clip, scale, schedule, log. False would say that the step was skipped."""
    optimizer.step()
    optimizer.zero_grad()
    return True


before = recall(plain.encode)
for number in range(20):  # 256 pairs are compared; the activations of 32 are in memory
    train_window(
        fabric, module, method, window(256, number), batching=Batching(32, 32), optimizer_step=optimizer_step
    )
after = recall(method.teacher.encode)
print(f"step in a loop of one's own: recall@1 {before:.3f} -> {after:.3f}")
assert after > 3 * before
