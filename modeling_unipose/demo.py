"""`unipose demo`: one example of each task, on motion capture that was held out from training."""

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


# Frames of the packaged motion, of the clips that training never sees.
LUNGE, ONE_LEG, LUNGE_TO_THE_OTHER_SIDE, KICK = 495, 523, 578, 1552
PICTURE_SIZE = 256


@dataclass(frozen=True)
class Example:
    """A task with its input: frames are given as poses, or drawn where the task takes pictures."""

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
    """Answers the examples of `tasks`; text goes to stdout, files to `out`.

    Each example leaves a picture, input first, and a posed body: of its answer, or of its input where the answer is
    text. `contact_sheet.png` shows all.
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
            pictures = draw([*inputs, *poses], body)
            sheet = contact_sheet(pictures, columns=len(pictures)) if len(pictures) > 1 else pictures[0]
            out.mkdir(parents=True, exist_ok=True)
            sheet.save(out / f"{example.task}.png")
            save_poses(out / f"{example.task}.glb", poses or inputs, body)
            caption = ": ".join(part for part in (example.task, example.text, text) if part)
            tqdm.write(caption)
            sheets.append(sheet)
            captions.append(caption)
    contact_sheet(sheets, captions, columns=2).save(out / "contact_sheet.png")
    print(f"wrote the pictures and bodies to {out}", file=sys.stderr)


def run_example(
    pipe: UniPosePipeline, example: Example, frames: list[torch.Tensor], body: BodyModel
) -> tuple[str, list[np.ndarray]]:
    """The answer to one example: its text and its poses, (22, 3, 3) each."""
    pictured = TASKS[example.task].images > 0
    (result,) = pipe(
        text=[example.text],
        images=[draw(frames, body) if pictured else []],
        poses=[[] if pictured else frames],
        task=example.task,
    )
    return result["text"], result["poses"]


def draw(poses: Sequence[torch.Tensor | np.ndarray], body: BodyModel) -> list[Image.Image]:
    return [render_pose(pose, body, size=PICTURE_SIZE) for pose in poses]


def load_frames() -> dict[int, torch.Tensor]:
    """The frames of the examples, (22, 3, 3) each in the stored frame, turned to the front."""
    motion = resources.files("unipose.training").joinpath("assets", "motion.npz")
    with motion.open("rb") as stream, np.load(stream) as stored:
        rotvecs = torch.from_numpy(stored["poses"])
    indices = sorted({index for example in EXAMPLES for index in example.frames})
    return {index: turn_to_front(roma.rotvec_to_rotmat(rotvecs[index])) for index in indices}


def turn_to_front(rotmats: torch.Tensor) -> torch.Tensor:
    """Turns an upright pose (22, 3, 3) about the vertical (z) until its chest, the pelvis' z axis, faces -y."""
    chest = rotmats[0, :, 2]
    yaw = torch.atan2(chest[0], -chest[1])
    turn = roma.rotvec_to_rotmat(yaw.new_tensor([0.0, 0.0, -1.0]) * yaw)
    return torch.cat([turn @ rotmats[:1], rotmats[1:]])
