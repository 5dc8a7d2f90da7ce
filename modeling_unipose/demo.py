"""`unipose demo`: one example of each task, on motion capture held out from training."""

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import roma
import torch
from PIL import Image
from tqdm import tqdm

from .pipeline_unipose import UniPosePipeline
from .processing.body_model import BodyModel
from .processing.pose_io import save_poses
from .processing.rendering import contact_sheet, render_pose
from .tasks_unipose import TASKS


# Frames of the packaged motion, in clips held out from training.
LUNGE, ONE_LEG, LUNGE_TO_THE_OTHER_SIDE, KICK = 495, 523, 578, 1552
IMAGE_SIZE = 256


@dataclass(frozen=True)
class Example:
    """Inputs of a task: frames are poses, or rendered images where the task takes images."""

    task: str
    frames: tuple[int, ...] = ()
    text: str | None = None


EXAMPLES = (
    Example("text-to-pose", text="A person stands with both arms raised above the head."),
    Example("pose-to-text", frames=(LUNGE,)),
    Example("pose-diff", frames=(LUNGE, ONE_LEG)),
    Example("pose-edit", frames=(ONE_LEG,), text="Raise the left arm above the head."),
    Example("image-to-text", frames=(KICK,)),
    Example("image-to-pose", frames=(LUNGE_TO_THE_OTHER_SIDE,)),
    Example("image-diff", frames=(LUNGE, LUNGE_TO_THE_OTHER_SIDE)),
)


def run_demo(load_pipeline: Callable[[], UniPosePipeline], out: Path, tasks: Collection[str]) -> None:
    """Runs the examples of `tasks`: text to stdout, files to `out`.

    Each example writes an image, input first, and a posed body: its answer's, or its input's if the answer is text.
    `contact_sheet.png` holds all images.

    Args:
        load_pipeline: Loads the model.
        out: Output folder.
        tasks: Names of `TASKS`.
    """
    frames = load_frames()
    body = BodyModel.builtin()
    sheets, captions = [], []
    examples = [example for example in EXAMPLES if example.task in tasks]
    with tqdm(total=1 + len(examples), desc="loading the model", leave=False, disable=None) as progress:
        pipe = load_pipeline()
        for example in examples:
            progress.set_description_str(example.task)
            progress.update()
            inputs = [frames[index] for index in example.frames]
            text, poses = run_example(pipe, example, inputs, body)
            images = render([*inputs, *poses], body)
            sheet = contact_sheet(images, columns=len(images)) if len(images) > 1 else images[0]
            out.mkdir(parents=True, exist_ok=True)
            sheet.save(out / f"{example.task}.png")
            save_poses(out / f"{example.task}.glb", poses or inputs, body)
            caption = ": ".join(part for part in (example.task, example.text, text) if part)
            tqdm.write(caption)
            sheets.append(sheet)
            captions.append(caption)
    contact_sheet(sheets, captions, columns=2).save(out / "contact_sheet.png")
    print(f"wrote the images and bodies to {out}", file=sys.stderr)


def run_example(
    pipe: UniPosePipeline, example: Example, frames: list[torch.Tensor], body: BodyModel
) -> tuple[str, list[np.ndarray]]:
    """Runs one example.

    Args:
        pipe: The pipeline.
        example: Task and text.
        frames: Input poses, (22, 3, 3) each.
        body: The body of rendered inputs.

    Returns:
        The text and the poses, (22, 3, 3) each, of the answer.
    """
    takes_images = TASKS[example.task].images > 0
    (result,) = pipe(
        text=[example.text],
        images=[render(frames, body) if takes_images else []],
        poses=[[] if takes_images else frames],
        task=example.task,
    )
    return result["text"], result["poses"]


def render(poses: Sequence[torch.Tensor | np.ndarray], body: BodyModel) -> list[Image.Image]:
    """One image per pose.

    Args:
        poses: (22, 3, 3) each, in the stored frame.
        body: The body to pose.
    """
    return [render_pose(pose, body, size=IMAGE_SIZE) for pose in poses]


def load_frames() -> dict[int, torch.Tensor]:
    """The frames of the examples, (22, 3, 3) each in the stored frame, facing the front."""
    motion = resources.files("unipose.training").joinpath("assets", "motion.npz")
    with motion.open("rb") as stream, np.load(stream) as stored:
        rotvecs = torch.from_numpy(stored["poses"])
    indices = sorted({index for example in EXAMPLES for index in example.frames})
    return {index: remove_heading(roma.rotvec_to_rotmat(rotvecs[index])) for index in indices}


def remove_heading(rotmats: torch.Tensor) -> torch.Tensor:
    """Rotates an upright pose (22, 3, 3) about the vertical (z) until its chest, the pelvis' z axis, faces -y."""
    chest = rotmats[0, :, 2]
    heading = torch.atan2(chest[0], -chest[1])
    rotation = roma.rotvec_to_rotmat(heading.new_tensor([0.0, 0.0, -1.0]) * heading)
    return torch.cat([rotation @ rotmats[:1], rotmats[1:]])
