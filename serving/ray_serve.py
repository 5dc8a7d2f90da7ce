"""The server as a Ray Serve application: several replicas, on one machine or on many, behind one address.

serve run unipose.serving.ray_serve:application model=runs/instruct replicas=4
"""

from typing import Any

from ray import serve
from transformers import HfArgumentParser

from .app import build_app
from .options import ServingOptions, read_key
from .serve import load_service


# Each replica has its own queue and answers 429 where it is full; Ray must not hold requests back before.
ROOM = 2


def application(arguments: dict[str, Any]) -> serve.Application:
    """The application, as `serve run` and `serve.run` take it.

    Args:
        arguments: Options of `unipose serve` by name, also as strings, without host and port, which are Ray's; and
            `replicas`, the number of servers (default 2).

    Raises:
        ValueError: An option is not known or has no accepted value.
    """
    own = dict(arguments)
    replicas = int(own.pop("replicas", 2))
    words = [word for name, value in own.items() for word in (f"--{name}", str(value))]
    parser: Any = HfArgumentParser(ServingOptions)  # type: ignore[arg-type]
    (options, unknown) = parser.parse_args_into_dataclasses(words, return_remaining_strings=True)
    if unknown or replicas < 1 or {"host", "port"} & own.keys():
        raise ValueError(
            f"expected options of unipose serve but host and port, and replicas of at least 1; got {dict(arguments)}"
        )

    def build() -> Any:
        return build_app(load_service(options, read_key()))

    deployment = serve.deployment(
        serve.ingress(build)(),
        name="unipose",
        num_replicas=replicas,
        max_ongoing_requests=ROOM * (options.queue_size + options.max_batch_size),
    )
    return deployment.bind()
