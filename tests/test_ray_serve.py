"""Two local replicas of Ray Serve answer as the pipeline does; skipped without Ray."""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import roma
import torch
from transformers import pipeline

import unipose  # noqa: F401  registers the pipeline


ray = pytest.importorskip("ray")
serve = pytest.importorskip("ray.serve")
openai = pytest.importorskip("openai")

SENTENCES = ["A person squats.", "A person kneels.", "A person stands.", "A person waves.", "A person sits."]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    from unipose.serving.ray_serve import application

    serve.run(application({"replicas": "2", "max_batch_size": 4}), name="poses", route_prefix="/")
    yield f"http://127.0.0.1:{port}/v1"
    serve.shutdown()
    ray.shutdown()


def test_two_replicas_answer_as_one_pipeline(address: str) -> None:
    client = openai.OpenAI(base_url=address, api_key="none", max_retries=0)

    def ask(text: str) -> np.ndarray:
        answer = client.chat.completions.create(model="unipose", messages=[{"role": "user", "content": text}])
        pose = answer.choices[0].message.model_extra["poses"][0]
        return np.array([*pose["global_orient"], *pose["body_pose"]]).reshape(22, 3)

    with ThreadPoolExecutor(len(SENTENCES)) as pool:
        answers = list(pool.map(ask, SENTENCES))
    expected = pipeline("unipose")(SENTENCES, task="text-to-pose")
    for answer, known in zip(answers, expected):
        rotmats = roma.rotvec_to_rotmat(torch.from_numpy(answer)).float()
        torch.testing.assert_close(rotmats, torch.as_tensor(known["poses"][0]), atol=1e-3, rtol=0)
    states = serve.status().applications["poses"].deployments["unipose"].replica_states
    assert {str(getattr(state, "value", state)): count for state, count in states.items()} == {"RUNNING": 2}


def test_options_that_are_not_known_say_so() -> None:
    from unipose.serving.ray_serve import application

    with pytest.raises(ValueError, match=r"expected options of unipose serve .* got \{'colour': 'red'\}"):
        application({"colour": "red"})
    with pytest.raises(ValueError, match=r"got \{'port': 8000\}"):
        application({"port": 8000})
