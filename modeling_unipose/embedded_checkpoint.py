"""The small trained checkpoint inside the package."""

from pathlib import Path
from typing import Any


EMBEDDED_CHECKPOINT = Path(__file__).parent / "embedded"
CHECKPOINT_FILES = ("config.json", "model.safetensors", "tokenizer.json", "processor_config.json")


def find_embedded_checkpoint() -> Path:
    """The folder of the embedded checkpoint.

    Raises:
        FileNotFoundError: A file is missing; the message names it.
    """
    for name in CHECKPOINT_FILES:
        if not (EMBEDDED_CHECKPOINT / name).is_file():
            raise FileNotFoundError(
                f"the checkpoint that ships with unipose is missing: there is no {EMBEDDED_CHECKPOINT / name}. "
                "Reinstall unipose, or name another model"
            )
    return EMBEDDED_CHECKPOINT


class EmbeddedDefault(dict[str, tuple[str, None]]):
    """The default model of `pipeline("unipose")`; its files are checked only when it is loaded."""

    def __init__(self) -> None:
        super().__init__(model=(str(EMBEDDED_CHECKPOINT), None))

    def __getitem__(self, key: str) -> Any:
        find_embedded_checkpoint()
        return super().__getitem__(key)
