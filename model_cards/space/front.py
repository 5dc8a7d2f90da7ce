"""The gate that every request passes before the web framework reads it."""

from typing import Any

import gradio as gr
from gradio_client.utils import is_http_url_like


class Front(gr.Blocks):
    """Blocks that fetch no address. By default the framework downloads an address that a request names as its file."""

    async def process_api(self, block_fn: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs a listener, as in `gr.Blocks`.

        Args:
            block_fn: The listener.
            inputs: What the page or a program sent.
            args: See there.
            kwargs: See there.

        Raises:
            gr.Error: A file of the inputs is an address.
        """
        refuse_addresses(inputs)
        return await super().process_api(block_fn, inputs, *args, **kwargs)


def refuse_addresses(value: Any) -> None:
    """Checks that no file in a value is an address.

    Raises:
        gr.Error: One is.
    """
    if isinstance(value, dict):
        for key in ("path", "url"):
            address = value.get(key)
            if key == "path" and isinstance(address, str) and is_http_url_like(address.strip()):
                raise gr.Error("Addresses are not read: add the file itself.", print_exception=False)
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            refuse_addresses(each)
