"""Two abilities that no task trains (paper: zero-shot), on rendered people.

    python -m unipose.training.evaluation.zero_shot --model modeling_unipose/embedded --output runs/zero_shot

- Pose estimation helped by words: a description follows the question about an image.
- Pointing: an image shows two people, and the question names one by position or by the color of the shirt.
"""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import pipeline
from trl import TrlParser

from unipose.processing.body_model import BodyModel
from unipose.processing.clothing import Clothes, Palette
from unipose.tasks_unipose import TASKS
from unipose.training.evaluation.baselines import shuffled_partners
from unipose.training.evaluation.held_out import HeldOutFrames, make_held_out_frames, rotate_heading_at_random
from unipose.training.evaluation.metrics import mpjpe, pose_errors
from unipose.training.evaluation.report import wilson_interval
from unipose.training.evaluation.tasks import Results, first_poses, predict
from unipose.training.io import markdown_table, write_json
from unipose.training.sampling.poses import held_out_poses
from unipose.training.synthetic_images.body_shapes import BodyShape
from unipose.training.synthetic_images.rendering import render_image
from unipose.training.synthetic_images.style import Bystander, Framing, ImageStyle


TASK = "image-to-pose"
# RGB of the shirts that questions name.
SHIRTS = {
    "red": (200, 30, 30),
    "blue": (40, 70, 200),
    "green": (40, 150, 60),
    "yellow": (230, 200, 40),
    "white": (240, 240, 240),
    "black": (25, 25, 25),
}
SIDES = ("left", "right")
TROUSERS = (90, 90, 95)
# Both people must fit into the image: they stand, and their joints lie within this width (meters).
FILL = 0.45
MIN_HEIGHT, MAX_WIDTH = 1.2, 1.1
# The poses of two people differ by this at least, or it would not matter which one is meant (mm, pelvis aligned).
MIN_DIFFERENCE = 150.0
MAX_DRAWS = 1000


@dataclass
class ZeroShotArguments:
    """The model, and the size of the evaluation sets."""

    model: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder or Hub id of the model."})
    output: str = field(default="runs/zero_shot", metadata={"help": "Folder of zero_shot.json."})
    frames: int = field(default=100, metadata={"help": "Number of images with one person, for descriptions."})
    scenes: int = field(default=100, metadata={"help": "Number of images with two people, for pointing."})
    image_size: int = field(default=96, metadata={"help": "Pixels of the square images, as in the corpus."})
    batch_size: int = field(default=32, metadata={"help": "Number of inputs per forward pass."})
    seed: int = field(default=0, metadata={"help": "Seed of the images."})


@dataclass(frozen=True)
class Scene:
    """An image with two people.

    Args:
        image: the image.
        poses: (2, 22, 3, 3) in the stored frame, of the people from left to right.
        shirts: the colors of their shirts, keys of `SHIRTS`.
        central: index of the person in the middle of the image; the other one stands beside.
    """

    image: Image.Image
    poses: torch.Tensor
    shirts: tuple[str, str]
    central: int


def make_scenes(count: int, poses: torch.Tensor, body: BodyModel, size: int, seed: int) -> list[Scene]:
    """Renders pairs of standing people with different poses, and with shirts of different colors.

    Args:
        count: number of images.
        poses: (n, 22, 3, 3) poses to draw from, in the stored frame, heading removed.
        body: the body to render.
        size: pixels of the square images.
        seed: seed of all random choices.

    Raises:
        ValueError: no two poses stand, fit into the image and differ enough.
    """
    rng = np.random.default_rng(seed)
    return [_make_scene(index, poses, body, size, rng) for index in range(count)]


def _make_scene(index: int, poses: torch.Tensor, body: BodyModel, size: int, rng: np.random.Generator) -> Scene:
    people = _draw_two(poses, body, rng)
    shirts = [str(color) for color in rng.choice(list(SHIRTS), 2, replace=False)]
    # Scenes alternate, so that both people are in the middle equally often.
    central = index % 2
    palettes = [
        replace(Palette.random(rng), shirt=SHIRTS[color], trousers=TROUSERS, forearms=None, shins=None)
        for color in shirts
    ]
    clothes = [Clothes(palette) for palette in palettes]
    beside = Bystander(
        side=1 if central == 0 else -1,
        overlap=-0.2,
        depth=0.0,
        clothes=clothes[1 - central],
        shape=BodyShape(),
    )
    style = ImageStyle(clothes=clothes[central], framing=Framing(fill=FILL), bystanders=(beside,))
    rendered = render_image(people[central], style, size, body, [people[1 - central]])
    image = Image.open(io.BytesIO(rendered.encode()))
    return Scene(image, people, (shirts[0], shirts[1]), central)


def _draw_two(poses: torch.Tensor, body: BodyModel, rng: np.random.Generator) -> torch.Tensor:
    for _ in range(MAX_DRAWS):
        chosen = rotate_heading_at_random(poses[rng.choice(len(poses), 2, replace=False)], rng)
        joints = body.forward_joints(chosen)
        extent = joints.amax(dim=1) - joints.amin(dim=1)
        fits = (extent[:, 1] >= MIN_HEIGHT) & (extent[:, 0] <= MAX_WIDTH)
        if fits.all() and mpjpe(joints[:1], joints[1:], (0,)).item() >= MIN_DIFFERENCE:
            return chosen
    raise ValueError(
        f"got {len(poses)} poses, of which no two were found that stand, fit into the image and differ by "
        f"{MIN_DIFFERENCE} mm"
    )


def questions(scene: Scene, index: int) -> dict[str, str]:
    """The questions about one person of a scene.

    Args:
        scene: the scene.
        index: 0 for the person on the left, 1 for the one on the right.
    """
    return {
        "position": f"Estimate the pose of the person on the {SIDES[index]}.",
        "clothes": f"Estimate the pose of the person in the {scene.shirts[index]} shirt.",
    }


def evaluate_pointing(
    pipe: Any, scenes: Sequence[Scene], body: BodyModel, batch_size: int
) -> dict[str, dict[str, list[bool]]]:
    """Whether the answers are nearer to the person who is meant than to the other one.

    The questions name each person of each scene once by position and once by clothes. A model that ignores the
    question is right in half of the rows.

    Args:
        pipe: `pipeline("unipose")` of the model.
        scenes: images with two people.
        body: the body to measure.
        batch_size: number of images per forward pass.

    Returns:
        {kind of question: {"central person" or "other person": [right of each row]}}.
    """
    rows = [(scene, index) for scene in scenes for index in (0, 1)]
    results = {}
    for kind in ("position", "clothes"):
        texts = [questions(scene, index)[kind] for scene, index in rows]
        outputs = predict(pipe, TASK, batch_size, text=texts, images=[scene.image for scene, _ in rows])
        joints = body.forward_joints(first_poses(outputs))
        meant, other = (
            body.forward_joints(torch.stack([scene.poses[choose(index)] for scene, index in rows]))
            for choose in (lambda index: index, lambda index: 1 - index)
        )
        right = (mpjpe(joints, meant, (0,)) < mpjpe(joints, other, (0,))).tolist()
        results[kind] = {
            name: [each for each, (scene, index) in zip(right, rows) if (scene.central == index) == is_central]
            for name, is_central in (("central person", True), ("other person", False))
        }
    return results


def evaluate_hints(pipe: Any, frames: HeldOutFrames, body: BodyModel, batch_size: int, seed: int) -> Results:
    """Errors of estimated poses with the true description after the question, without one, and with a wrong one.

    Args:
        pipe: `pipeline("unipose")` of the model.
        frames: the images, their poses and descriptions.
        body: the body to measure.
        batch_size: number of images per forward pass.
        seed: seed of the choice of wrong descriptions.
    """
    captions = [caption.text for caption in frames.captions]
    partners = shuffled_partners(len(captions), np.random.default_rng(seed))
    prompt = TASKS[TASK].prompt
    texts = {
        "no words": [prompt] * len(captions),
        "description": [f"{prompt} {caption}" for caption in captions],
        "description of another image": [f"{prompt} {captions[index]}" for index in partners],
    }
    return {
        name: pose_errors(
            first_poses(predict(pipe, TASK, batch_size, text=rows, images=frames.images)), frames.camera_poses, body
        )
        for name, rows in texts.items()
    }


def to_markdown(hints: Results, pointing: dict[str, dict[str, list[bool]]]) -> str:
    """Both tables.

    Args:
        hints: of `evaluate_hints`.
        pointing: of `evaluate_pointing`.
    """
    errors = [(name, f"{values['mpjpe_mm']:.1f}", f"{values['pa_mpjpe_mm']:.1f}") for name, values in hints.items()]
    shares = []
    for kind, people in pointing.items():
        for name, right in (*people.items(), ("both", [each for rows in people.values() for each in rows])):
            low, high = wilson_interval(sum(right), len(right))
            share = 100 * sum(right) / max(len(right), 1)
            shares.append((kind, name, len(right), f"{share:.1f}", f"{100 * low:.0f} to {100 * high:.0f}"))
    return "\n\n".join(
        (
            markdown_table(("words with the image", "MPJPE (mm)", "PA-MPJPE (mm)"), errors),
            markdown_table(("pointing by", "person", "questions", "right (%)", "95 % interval"), shares),
        )
    )


def main() -> None:
    (arguments,) = TrlParser((ZeroShotArguments,)).parse_args_and_config()
    body, poses = BodyModel.builtin(), held_out_poses().float()
    chosen = poses[np.arange(arguments.frames) * len(poses) // arguments.frames]
    frames = make_held_out_frames(chosen, body, arguments.image_size, arguments.seed)
    scenes = make_scenes(arguments.scenes, poses, body, arguments.image_size, arguments.seed)
    pipe = pipeline("unipose", model=arguments.model)  # type: ignore[call-overload]
    hints = evaluate_hints(pipe, frames, body, arguments.batch_size, arguments.seed)
    pointing = evaluate_pointing(pipe, scenes, body, arguments.batch_size)
    print(to_markdown(hints, pointing))
    content = {"settings": asdict(arguments), "hints": hints, "pointing": pointing}
    write_json(Path(arguments.output) / "zero_shot.json", content)


if __name__ == "__main__":
    main()
