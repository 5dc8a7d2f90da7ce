"""Draws every named pose with its name.

python -m unipose.training.tools.show_archetypes --output docs/archetypes.png
"""

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from transformers import HfArgumentParser

from unipose.processing.body_model import BodyModel
from unipose.processing.rendering import contact_sheet, render_pose
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses


VIEW = 40.0  # degrees of the camera's azimuth: most poses show best between the front and the side


@dataclass
class SheetArguments:
    """The layout and the file of the sheet."""

    output: str = field(default="docs/archetypes.png", metadata={"help": "The image to write."})
    cell: int = field(default=150, metadata={"help": "Pixels of one pose."})
    columns: int = 10
    colours: int = field(default=64, metadata={"help": "Colours of the image's palette: fewer make a smaller file."})


def archetype_sheet(body: BodyModel, cell: int, columns: int) -> Image.Image:
    """All of `ARCHETYPES` in table order, each above its name.

    Args:
        body: the body to draw.
        cell: pixels of one pose.
        columns: poses in a row.
    """
    names = list(ARCHETYPES)
    images = [render_pose(pose, body, cell, view=VIEW) for pose in archetype_poses(names)]
    return contact_sheet(images, [name.replace("_", " ") for name in names], columns, font_size=12)


def main() -> None:
    (arguments,) = HfArgumentParser((SheetArguments,)).parse_args_into_dataclasses()
    sheet = archetype_sheet(BodyModel.builtin(), arguments.cell, arguments.columns)
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(arguments.colours, dither=Image.Dither.NONE).save(output, optimize=True)
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
