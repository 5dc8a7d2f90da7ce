"""Draws every named pose with its name.

python -m unipose.training.tools.show_archetypes --output docs/archetypes.png
"""

from dataclasses import dataclass, field

from PIL import Image
from trl import TrlParser

from unipose.processing.body_model import BodyModel
from unipose.processing.rendering import contact_sheet, render_pose
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.tools.sheets import save_sheet


VIEW = 40.0  # degrees of the camera's azimuth, between the front and the side


@dataclass
class SheetArguments:
    """Options: path and layout of the sheet."""

    output: str = field(default="docs/archetypes.png", metadata={"help": "Path of the sheet."})
    cell: int = field(default=110, metadata={"help": "Pixels of each square image."})
    columns: int = field(default=17, metadata={"help": "Poses per row."})
    colors: int = field(default=64, metadata={"help": "Colors of the image's palette; fewer make a smaller file."})


def archetype_sheet(body: BodyModel, cell: int, columns: int) -> Image.Image:
    """All of `ARCHETYPES` in table order, each above its name.

    Args:
        body: the body to render.
        cell: pixels of each square image.
        columns: number of poses per row.
    """
    names = list(ARCHETYPES)
    images = [render_pose(pose, body, cell, view=VIEW) for pose in archetype_poses(names)]
    return contact_sheet(images, [name.replace("_", " ") for name in names], columns, font_size=12)


def main() -> None:
    (arguments,) = TrlParser((SheetArguments,)).parse_args_and_config()
    sheet = archetype_sheet(BodyModel.builtin(), arguments.cell, arguments.columns)
    save_sheet(sheet, arguments.output, arguments.colors)


if __name__ == "__main__":
    main()
