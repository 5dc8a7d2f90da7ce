"""The small trained checkpoint that ships inside the package."""

from pathlib import Path
from typing import Any


EMBEDDED_CHECKPOINT = Path(__file__).parent / "embedded"
CHECKPOINT_FILES = ("config.json", "model.safetensors", "tokenizer.json", "processor_config.json")


def find_embedded_checkpoint() -> Path:
    """The folder of the embedded checkpoint.

    Raises:
        FileNotFoundError: It is not complete; the message names the file.
    """
    for name in CHECKPOINT_FILES:
        if not (EMBEDDED_CHECKPOINT / name).is_file():
            raise FileNotFoundError(
                f"the checkpoint that ships with unipose is missing: there is no {EMBEDDED_CHECKPOINT / name}. "
                "Reinstall unipose, or name another model"
            )
    return EMBEDDED_CHECKPOINT


class EmbeddedDefault(dict[str, tuple[str, None]]):
    """What `pipeline("unipose")` loads where no model is named; it is looked for only then."""

    def __init__(self) -> None:
        super().__init__(model=(str(EMBEDDED_CHECKPOINT), None))

    def __getitem__(self, key: str) -> Any:
        find_embedded_checkpoint()
        return super().__getitem__(key)
