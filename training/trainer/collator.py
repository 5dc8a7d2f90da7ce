"""Rows (messages, images, poses) -> training batches (paper, section 3.4).

TRL's trainer does not use the loss of `model.forward`: it scores `shift_labels` where a batch has them, and otherwise
shifts `labels` itself, which is wrong inside an output pose. So every batch carries `shift_labels`.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Literal

import roma
import torch

from unipose import UniPoseVQVAE
from unipose.modeling_unipose import shift_pose_labels
from unipose.processing.pose_features import rotmat_to_rotation_6d
from unipose.processing.processing_unipose import UniPoseProcessor
from unipose.training.datasets.row_checks import check_length, check_poses, check_row, name_row
from unipose.training.datasets.row_values import Place, read_messages, read_pose
from unipose.training.models.load_pose_tokenizer import load_pose_tokenizer


Row = dict[str, Any]

# Key of a row's index in the dataset, and of the indices of a batch's rows.
ROW_KEY = "row"


class UniPoseDataCollator:
    """Collates raw rows, rows with `pose_codes`, or rows prepared by `encode`, into one right-padded batch.

    A raw row has `messages`, whose image and pose blocks hold their values or take those of `images` and `poses` in
    order. In TRL's trainer, `SFTConfig(remove_unused_columns=False)` keeps the column `poses`. A batch of
    `prepare_rows` also holds the rows' indices (`ROW_KEY`), which the stages' trainers remove.

    Args:
        processor: the trained model's processor.
        pose_attention: the model's pose attention. "mixed": output poses become queries, each with its own code as
            label; "causal": they stay codes, each with the next code as label.
        max_length: the largest number of tokens of a row; longer rows are errors. None: any.
        pose_tokenizer: the trained model's pose tokenizer, which encodes the poses of raw rows; a copy on the CPU is
            used, in worker processes too. Default: that of the folder or Hub id that the processor was loaded from.
    """

    def __init__(
        self,
        processor: UniPoseProcessor,
        pose_attention: Literal["mixed", "causal"] = "mixed",
        max_length: int | None = None,
        pose_tokenizer: UniPoseVQVAE | None = None,
    ):
        self.processor = processor
        self.pose_attention = pose_attention
        self.max_length = max_length
        self.pose_tokenizer = None if pose_tokenizer is None else deepcopy(pose_tokenizer).cpu().eval()

    def encode(self, row: Row, index: int | None = None, has_images: bool = True) -> Row:
        """Tokenizes one row.

        Of several answers only the last is trained: the poses before it are known to the model as codes. Control
        tokens and placeholders that are typed in its texts are plain text.

        Args:
            row: a raw row, or one with `pose_codes` (poses, num_pose_tokens), which `add_pose_codes` adds.
            index: its index in the dataset, for error messages.
            has_images: whether the row holds its images; False: the caller adds their pixels to the batch.

        Returns:
            input_ids, labels and shift_labels (length,); labels of questions and pose-end are -100 (ignored).

        Raises:
            ValueError: the messages are no chat, the row's images or poses and the blocks of its messages differ in
                number, or the row is too long. The message names the row and the field.
        """
        processor = self.processor
        name = name_row(row, index)
        if "pose_codes" not in row:
            (row,) = self.encode_poses([row], index)
        check_row(row, name, len(row["pose_codes"]), has_images)
        try:
            encoded = processor.encode_chat(row["messages"])
        except ValueError as error:
            raise ValueError(f"{name}, messages: {error}") from error
        ids = torch.tensor(encoded["input_ids"])
        is_answer = torch.tensor(encoded["assistant_masks"]).bool()
        begins = (is_answer & ~is_answer.roll(1)).nonzero()[:, 0]
        is_answer[: int(begins.max())] = False
        codes = torch.as_tensor(row["pose_codes"], dtype=torch.long).flatten() + processor.pose_code_start_id
        is_pose = ids == processor.pose_token_id
        if int(is_pose.sum()) != len(codes):
            raise ValueError(
                f"{name}, messages: they hold {int(is_pose.sum())} pose placeholders, but the row's poses have "
                f"{len(codes)} codes"
            )
        check_length(len(ids), self.max_length, name)
        ids[is_pose] = codes
        labels = ids.masked_fill(~is_answer | (ids == processor.pose_end_token_id), -100)
        is_query = is_pose & is_answer if self.pose_attention == "mixed" else torch.zeros_like(is_pose)
        ids = ids.masked_fill(is_query, processor.pose_query_token_id)
        shift_labels = shift_pose_labels(is_query[None], labels[None])[0]
        return {"input_ids": ids.tolist(), "labels": labels.tolist(), "shift_labels": shift_labels.tolist()}

    def encode_poses(self, rows: Sequence[Row], index: int | None = None) -> list[Row]:
        """Raw rows with their `pose_codes`; the images and poses of blocks stand beside the messages.

        Args:
            rows: raw rows.
            index: index of the first in the dataset, for error messages.

        Raises:
            ValueError: a row is no raw row, or a pose cannot be read; the message names the row and the field.
        """
        read = [
            read_raw_row(row, name_row(row, None if index is None else index + number))
            for number, row in enumerate(rows)
        ]
        if not any(row["poses"] for row in read):
            return [row | {"pose_codes": []} for row in read]
        if self.pose_tokenizer is None:
            self.pose_tokenizer = load_pose_tokenizer(self.processor.tokenizer.name_or_path)
        codes = add_pose_codes({"poses": [row["poses"] for row in read]}, self.pose_tokenizer)["pose_codes"]
        return [row | {"pose_codes": own} for row, own in zip(read, codes)]

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        is_raw = [not {"shift_labels", "pose_codes"} & row.keys() for row in rows]
        raw = iter(self.encode_poses([row for row, each in zip(rows, is_raw) if each]))
        rows = [next(raw) if each else row for row, each in zip(rows, is_raw)]
        # Where no row has any, their pixels are the caller's; the model compares numbers.
        has_images = any(row.get("images") for row in rows)
        encoded = [row if "shift_labels" in row else row | self.encode(row, has_images=has_images) for row in rows]
        length = max(len(row["input_ids"]) for row in encoded)
        fill = {"input_ids": self.processor.tokenizer.pad_token_id, "labels": -100, "shift_labels": -100}
        batch = {
            name: torch.tensor([list(row[name]) + [value] * (length - len(row[name])) for row in encoded])
            for name, value in fill.items()
        }
        lengths = torch.tensor([len(row["input_ids"]) for row in encoded])
        batch["attention_mask"] = (torch.arange(length) < lengths[:, None]).long()
        if ROW_KEY in encoded[0]:
            batch[ROW_KEY] = torch.tensor([row[ROW_KEY] for row in encoded])
        images = [image for row in encoded for image in row.get("images") or []]
        if images:
            batch |= self.process_images(images, encoded)
        return batch

    def process_images(self, images: Sequence[Any], rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """The pixels of a batch.

        Args:
            images: all images of the batch.
            rows: its rows.

        Raises:
            ValueError: an image cannot be read; the message names its row.
        """
        try:
            return dict(self.processor.image_processor(images, return_tensors="pt"))
        except ValueError as error:
            owners = [name_row(row, row.get(ROW_KEY)) for row in rows for _ in row.get("images") or []]
            raise ValueError(f"images of {', '.join(dict.fromkeys(owners))}: {error}") from error


def read_raw_row(row: Row, name: str) -> Row:
    """A row as its owner wrote it, with the images and poses of its blocks beside the messages.

    Args:
        row: the row.
        name: how errors name it.

    Raises:
        ValueError: it has no messages, or a field is wrong.
    """
    if row.get("messages") is None:
        raise ValueError(
            f"{name}: got the columns {', '.join(row)}, expected messages: pass the rows as they are, with "
            'SFTConfig(remove_unused_columns=False, dataset_kwargs={"skip_prepare_dataset": True})'
        )
    place = Place(name)
    try:
        messages, images, poses = read_messages(row, place)
    except ValueError as error:
        if "poses" in row:
            raise
        raise ValueError(
            f"{error}; the row has no column poses, which only SFTConfig(remove_unused_columns=False) keeps"
        ) from error
    read = [read_pose(pose, place, f"poses: pose {number}").tolist() for number, pose in enumerate(poses, start=1)]
    return row | {"messages": messages, "images": images, "poses": read}


@torch.no_grad()
def add_pose_codes(
    rows: dict[str, list], pose_tokenizer: UniPoseVQVAE, first_row: int | None = None
) -> dict[str, list]:
    """For `dataset.map(batched=True)`: the codes of each row's poses, so that training need not encode them.

    Args:
        rows: a batch of rows; "poses" are (22, 3) rotation vectors.
        pose_tokenizer: the trained model's pose tokenizer.
        first_row: index of the first row in the dataset, for error messages.

    Raises:
        ValueError: a pose is not (22, 3), not finite or in degrees; the message names the row.
    """
    for number, row in enumerate(rows["poses"]):
        known = {name: rows[name][number] for name in ("task", "source") if name in rows}
        check_poses(row, name_row(known, None if first_row is None else first_row + number))
    poses = [pose for row in rows["poses"] for pose in row]
    if not poses:
        return {"pose_codes": [[] for _ in rows["poses"]]}
    rotmats = roma.rotvec_to_rotmat(torch.tensor(poses, dtype=torch.float32).reshape(len(poses), -1, 3))
    codes = iter(pose_tokenizer.encode(rotmat_to_rotation_6d(rotmats)).tolist())
    return {"pose_codes": [[next(codes) for _ in row] for row in rows["poses"]]}
