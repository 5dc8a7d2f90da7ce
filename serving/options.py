"""Options of the server."""

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path


KEY_VARIABLE = "UNIPOSE_API_KEY"
DEFAULT_NAME = "unipose"


@dataclass
class ServingOptions:
    """The address, the model, and the limits of the server."""

    host: str = field(
        default="127.0.0.1", metadata={"help": "Address to listen at; 0.0.0.0: reachable from other machines."}
    )
    port: int = field(default=8000, metadata={"help": "Port to listen at; 0: any free one."})
    model: str | None = field(
        default=None, metadata={"help": "Folder or Hub id of the model; default: the packaged one."}
    )
    served_model_name: str | None = field(
        default=None, metadata={"help": "Name of the model for clients; default: that of its folder, or its Hub id."}
    )
    max_batch_size: int = field(default=16, metadata={"help": "Largest number of requests that are answered at once."})
    queue_size: int = field(
        default=64, metadata={"help": "Largest number of waiting requests; others get 429 with Retry-After."}
    )
    timeout: float = field(default=60.0, metadata={"help": "Seconds until a request without an answer gets 504."})
    shutdown_timeout: float = field(
        default=30.0, metadata={"help": "Seconds that a stopping server has for the requests that it has accepted."}
    )
    max_body_bytes: int = field(default=8 * 2**20, metadata={"help": "Largest accepted body; longer ones get 413."})
    max_messages: int = field(default=32, metadata={"help": "Largest number of messages of a request."})
    max_text_length: int = field(default=4000, metadata={"help": "Largest number of characters of all its texts."})
    max_images: int = field(default=4, metadata={"help": "Largest number of its images."})
    max_image_pixels: int = field(default=2**24, metadata={"help": "Largest number of pixels of an image."})
    max_poses: int = field(default=16, metadata={"help": "Largest number of its poses."})
    max_new_tokens: int = field(default=512, metadata={"help": "Largest accepted length of an answer in tokens."})
    max_choices: int = field(default=8, metadata={"help": "Largest accepted n and best_of."})

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            ValueError: One is out of range.
        """
        if not 0 <= self.port < 2**16:
            raise ValueError(f"port must be from 0 to 65535, got {self.port}")
        for name, value in vars(self).items():
            if name != "port" and isinstance(value, int | float) and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")

    @property
    def model_name(self) -> str:
        """Name of the model for clients."""
        if self.served_model_name is not None or self.model is None:
            return self.served_model_name or DEFAULT_NAME
        return Path(self.model).resolve().name if Path(self.model).is_dir() else self.model

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the server."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_key() -> str | None:
    """The key that clients must send, from the environment variable `UNIPOSE_API_KEY`; None: no key is needed."""
    return os.environ.get(KEY_VARIABLE) or None
