"""Several answers of a row, the choice of one, and the confidence in it."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roma
import torch
from test_pipeline import SHORT, as_rows, assert_same, is_same, random_image, random_pose, task_inputs
from transformers import pipeline

from unipose import UniPosePipeline
from unipose.answer_choice import FEATURES, NO_PERSON, answer_distance, confidence, most_central, reverse_request
from unipose.answer_pipeline import CONSISTENCY_WEIGHT, Row
from unipose.tasks_unipose import TASKS


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint: Path) -> UniPosePipeline:
    return pipeline("unipose", model=str(tiny_checkpoint))


@pytest.fixture
def calibrated(pipe: UniPosePipeline) -> UniPosePipeline:
    """Its model's config can be changed."""
    own = copy.copy(pipe)
    own.model = copy.deepcopy(pipe.model)
    return own


def ask(pipe: UniPosePipeline, name: str, **settings) -> Any:
    """The answer, or the answers, to one row of a task."""
    length = {"max_new_tokens": 12} if TASKS[name].answer == "text" else {}
    return pipe(**as_rows([task_inputs(name)]), task=name, **length, **settings)[0]


def answer(text: str = "", angle: float | None = None) -> dict:
    if angle is None:
        return {"text": text, "poses": []}
    rotmats = roma.rotvec_to_rotmat(torch.tensor([[0.0, 0.0, angle]] * 22)).numpy()
    return {"text": text, "poses": [rotmats]}


def test_many_answers_of_each_row(pipe: UniPosePipeline) -> None:
    texts = ["A person kneels.", "A person sits."]
    groups = pipe(texts, task="text-to-pose", num_return_sequences=3, seed=1, batch_size=2)
    assert [len(group) for group in groups] == [3, 3]
    answers = [answer for group in groups for answer in group]
    assert not is_same(answers[0], answers[1])
    assert all(len(answer["poses"]) == 1 for answer in answers)
    single = pipe(texts[0], task="text-to-pose", num_return_sequences=2, seed=1)
    assert [len(single), type(single[0])] == [2, dict]
    # Top-1 sampling is greedy: each row keeps its own inputs, images and poses.
    rows = {"images": [random_image(0), random_image(1)], "task": "image-to-text"} | SHORT
    for one, group in zip(pipe(**rows), pipe(**rows, num_return_sequences=2, top_k=1, batch_size=2)):
        for twin in group:
            assert_same(one, twin)
            assert twin["confidence"] == pytest.approx(one["confidence"], rel=1e-3)


def test_the_seed_is_the_calls_own(pipe: UniPosePipeline) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    inputs = {"text": "A person kneels.", "task": "text-to-pose", "do_sample": True}
    first = pipe(**inputs, seed=3)
    assert torch.equal(torch.rand(3), expected)
    assert_same(first, pipe(**inputs, seed=3))
    assert not is_same(first, pipe(**inputs, seed=4))


@pytest.mark.parametrize("name", TASKS)
def test_the_best_of_some_answers(pipe: UniPosePipeline, name: str) -> None:
    """A chooser sees the request, the greedy answer and those of `num_return_sequences`; its choice is returned."""
    settings = {"temperature": 0.5, "seed": 2}
    options = [ask(pipe, name), *ask(pipe, name, num_return_sequences=3, **settings)]
    seen = []

    def last(request: dict, answers: list[dict]) -> int:
        seen.append(request)
        assert all(set(answer) == {"text", "poses"} for answer in answers)
        return len(answers) - 1

    assert_same(ask(pipe, name, best_of=4, chooser=last, **settings), options[-1])
    assert seen[0]["task"] == name
    assert (len(seen[0]["images"]), len(seen[0]["poses"])) == (TASKS[name].images, TASKS[name].poses)
    central = ask(pipe, name, best_of=4, chooser="central", **settings)
    assert_same(central, options[most_central(options)])
    assert any(is_same(ask(pipe, name, best_of=4, **settings), option) for option in options)
    assert_same(ask(pipe, name, best_of=1, temperature=9.0), ask(pipe, name))


@pytest.mark.parametrize("name", ["text-to-pose", "pose-edit", "pose-to-text", "pose-diff"])
def test_consistent_answers_make_the_request_probable(pipe: UniPosePipeline, name: str) -> None:
    settings = {"seed": 0, "temperature": 0.5}
    options = ask(pipe, name, num_return_sequences=4, return_features=True, **settings)
    options.insert(0, ask(pipe, name, return_features=True))
    scores = [option["features"]["consistency"] for option in options]
    assert len({round(score, 4) for score in scores}) > 1
    best = ask(pipe, name, best_of=5, chooser="consistent", **settings)
    probable = [option["features"]["text_log_prob"] for option in options]
    assert_same(best, options[int(np.argmax(np.array(probable) + CONSISTENCY_WEIGHT * np.array(scores)))])
    by_hand = forward_by_hand(pipe, name, task_inputs(name), options[0])
    assert scores[0] == pytest.approx(by_hand, abs=1e-3)


@torch.no_grad()
def forward_by_hand(pipe: UniPosePipeline, name: str, inputs: dict, option: dict) -> float:
    """The mean log-probability of the request after a chat that holds the answer."""
    model, processor = pipe.model, pipe.processor
    # The poses as the model sees them: turned by the heading of the first input.
    row, heading = pipe.read_row(Row(None, [], inputs["poses"]), None)
    front = pipe.turn_back({"poses": option["poses"]}, -heading, "z_up")
    request = reverse_request(TASKS[name], inputs["text"], row.poses, {**option, **front})
    messages = pipe.build_conversation(Row(request.text, [], request.poses), request.task)
    if request.task.answer == "text":
        tokenizer = processor.tokenizer
        known = [*tokenizer(request.answer, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    else:
        values = processor(text=["<pose>"], poses=[[request.answer]], return_tensors="pt")["pose_values"]
        known = (model.model.pose_tokenizer.encode(values)[0] + model.config.pose_code_start_id).tolist()
    prompt = processor.apply_chat_template(
        [messages], add_generation_prompt=True, generation_mode=request.task.answer, tokenize=True, return_dict=True,
        processor_kwargs={"return_tensors": "pt"},
    )  # fmt: skip
    ids = prompt.pop("input_ids")
    prompt.pop("attention_mask")
    is_pose = request.task.answer == "pose"
    behind = [model.config.pose_query_token_id] * len(known) if is_pose else known
    logits = model(torch.cat([ids, torch.tensor([behind])], dim=1), **prompt).logits[0]
    first = ids.shape[1] if is_pose else ids.shape[1] - 1
    start, size = model.config.pose_code_start_id, model.config.pose_tokenizer_config.codebook_size
    banned = torch.ones(logits.shape[-1], dtype=torch.bool)
    banned[start : start + size] = False
    if not is_pose:
        special = [getattr(model.config, f"{kind}_token_id") for kind in ("pose_start", "pose_end", "pose_query")]
        special += [model.config.pose_token_id, model.config.image_token_id]
        special += [model.config.image_start_token_id, model.config.image_end_token_id]
        banned = ~banned
        banned[special] = True
    scores = logits[first : first + len(known)].masked_fill(banned, -torch.inf).log_softmax(-1)
    return float(scores.gather(1, torch.tensor(known).unsqueeze(1)).mean())


def test_the_most_central_answer() -> None:
    assert most_central([answer(angle=0.0), answer(angle=1.0), answer(angle=0.4)]) == 2
    assert answer_distance(answer(angle=0.2), answer(angle=0.9)) == pytest.approx(0.7, abs=1e-5)
    assert most_central([answer("a b c"), answer("a b d"), answer("x y z")]) == 0
    assert most_central([answer("a"), answer("a b"), answer("b a c")]) == 1
    assert answer_distance(answer("a"), answer("a", angle=0.0)) > 3
    assert most_central([answer("a")]) == 0


def test_requests_without_a_reverse() -> None:
    for name in ("image-to-text", "image-diff", "image-to-pose"):
        assert reverse_request(TASKS[name], "A person kneels.", [], answer("a", angle=0.0)) is None
    assert reverse_request(TASKS["text-to-pose"], "A person kneels.", [], answer()) is None
    assert reverse_request(TASKS["pose-to-text"], None, [random_pose(0)], answer("")) is None
    assert reverse_request(TASKS["pose-diff"], None, [1, 2], answer("a"))[1:] == ("a", [1], 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"best_of": 0}, "best_of must be an integer of at least 1, got 0"),
        ({"num_return_sequences": 1.5}, "num_return_sequences must be an integer of at least 1, got 1.5"),
        ({"best_of": 2, "num_return_sequences": 2}, "best_of gives one answer a row, got num_return_sequences=2 too"),
        ({"best_of": 2, "chooser": "first"}, 'chooser must be "consistent", "central" or a function, got \'first\''),
        (
            {"best_of": 2, "chooser": lambda request, answers: 2},
            "the chooser returned 2, expected an index from 0 to 1",
        ),
    ],
)
def test_what_cannot_be_chosen_says_so(pipe: UniPosePipeline, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipe("A person kneels.", task="text-to-pose", **settings)


def test_the_confidence_is_a_logistic_function_of_the_features(calibrated: UniPosePipeline) -> None:
    inputs = {"text": "A person kneels.", "task": "text-to-pose", "return_features": True}
    plain = calibrated(**inputs)
    features = plain["features"]
    assert features.keys() <= FEATURES.keys()
    assert plain["confidence"] == pytest.approx(math.exp(features["log_prob"]))
    weights = {"code_variance": -2.0, "consistency": 0.1, "bias": 1.0}
    calibrated.model.config.confidence_weights = {"text-to-pose": weights}
    total = -2.0 * features["code_variance"] + 0.1 * features["consistency"] + 1.0
    assert calibrated(**inputs)["confidence"] == pytest.approx(1 / (1 + math.exp(-total)), rel=1e-4)
    other = calibrated(poses=random_pose(0), task="pose-to-text", **SHORT)
    assert 0 < other["confidence"] < 1
    calibrated.model.config.confidence_weights["text-to-pose"]["height"] = 1.0
    with pytest.raises(ValueError, match="the confidence has weights of height; accepted: bias, log_prob"):
        calibrated(**inputs)


def test_the_confidence_of_an_answer_that_lacks_a_feature_is_low() -> None:
    assert confidence({"log_prob": 0.0}, {"consistency": 1.0, "bias": 50.0}) == 0.0
    assert confidence({"log_prob": -800.0}, None) == pytest.approx(0.0)
    assert confidence({"log_prob": 1.0}, {"log_prob": 1e6, "bias": 0.0}) == pytest.approx(1.0)


def test_an_image_without_a_person_is_said_to_have_none(calibrated: UniPosePipeline) -> None:
    config, inputs = calibrated.model.config, {"images": [random_image(0), random_image(1)], "task": "image-to-text"}
    config.confidence_weights = {"image-to-text": {"image_variance": -40.0, "bias": 20.0}}
    answers = calibrated(**inputs, **SHORT)
    low, high = sorted(answer["confidence"] for answer in answers)
    assert low < high
    assert all(answer["text"] != NO_PERSON for answer in answers)
    config.no_person_below = (low + high) / 2
    texts = {answer["confidence"]: answer["text"] for answer in calibrated(**inputs, **SHORT)}
    assert texts[low] == NO_PERSON
    assert texts[high] != NO_PERSON
    other = calibrated(images=inputs["images"], task="image-to-pose")
    assert all(len(answer["poses"]) == 1 for answer in other)


def test_features_follow_from_the_codes(pipe: UniPosePipeline) -> None:
    """Without a temperature, the features of a pose are those of its logits."""
    features = pipe("A person kneels.", task="text-to-pose", return_features=True)["features"]
    model, config = pipe.model, pipe.model.config
    messages = pipe.build_conversation(Row("A person kneels.", [], []), TASKS["text-to-pose"])
    prompt = pipe.processor.apply_chat_template(
        [messages], add_generation_prompt=True, generation_mode="pose", tokenize=True, return_dict=True,
        processor_kwargs={"return_tensors": "pt"},
    )  # fmt: skip
    queries = torch.full((1, config.num_pose_tokens), config.pose_query_token_id)
    first = config.pose_code_start_id
    codes = slice(first, first + config.pose_tokenizer_config.codebook_size)
    with torch.no_grad():
        logits = model(torch.cat([prompt["input_ids"], queries], dim=1)).logits[0, -config.num_pose_tokens :, codes]
    p, codebook = logits.softmax(-1), model.model.pose_tokenizer.quantizer.codebook
    means = p @ codebook
    variance = (p[:, :, None] * (codebook - means[:, None]) ** 2).sum((1, 2))
    total = ((codebook - codebook.mean(0)) ** 2).sum(1).mean()
    nearest = torch.cdist(means, codebook).argmin(1)
    expected = {
        "code_log_prob": logits.log_softmax(-1).amax(1).mean(),
        "code_entropy": -(p * p.log()).nan_to_num().sum(1).mean(),
        "code_variance": (variance / total).mean(),
        "code_agreement": (nearest == logits.argmax(1)).float().mean(),
    }
    for name, value in expected.items():
        assert features[name] == pytest.approx(float(value), abs=1e-3), name


@pytest.mark.parametrize("name", ["pose-edit", "image-to-pose", "pose-diff", None])
@pytest.mark.parametrize("settings", [{}, {"num_return_sequences": 2, "seed": 3}], ids=["greedy", "sampled"])
def test_features_of_generations_logits_are_those_of_scoring_the_answers(
    pipe: UniPosePipeline, monkeypatch: pytest.MonkeyPatch, name: str | None, settings: dict
) -> None:
    inputs = as_rows([task_inputs("pose-edit" if name is None else name) for _ in range(2)])
    call = inputs | settings | {"task": name, "return_features": True, "batch_size": 2}
    if name in (None, "pose-diff"):
        call["max_new_tokens"] = 30
    quick = pipe(**call)
    # No output is of this class, so every answer is scored by forwards of its own.
    monkeypatch.setattr("unipose.answer_pipeline.GenerateDecoderOnlyOutput", type(None))
    for one, twin in zip(quick, pipe(**call)):
        for first, second in zip(*([x] if isinstance(x, dict) else x for x in (one, twin))):
            assert first["features"] == pytest.approx(second["features"], abs=2e-3)
            assert len(first["features"]) >= 2


@pytest.mark.parametrize("name", ["text-to-pose", "pose-diff", "image-to-text"])
def test_without_confidence_no_second_forward_asks_for_the_request(
    pipe: UniPosePipeline, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    slow = "image_variance" if name == "image-to-text" else "consistency"
    monkeypatch.setattr(pipe.model.config, "confidence_weights", {name: {slow: 0.5, "bias": 0.0}})
    forwards: list[int] = []
    with pipe.model.model.register_forward_hook(lambda *_: forwards.append(1)):
        whole = ask(pipe, name)
        counts = [len(forwards)]
        quick = ask(pipe, name, return_confidence=False)
        counts.append(len(forwards) - counts[0])
    assert counts[1] == counts[0] - 1
    assert quick.keys() == whole.keys() - {"confidence"}
    assert quick["text"] == whole["text"]
    np.testing.assert_array_equal(quick["poses"], whole["poses"])


def test_images_of_a_batch_are_looked_at_together_and_as_alone(pipe: UniPosePipeline) -> None:
    images = [random_image(number) for number in range(3)]
    settings = {"task": "image-to-text", "return_features": True, **SHORT}
    alone = [pipe(images=image, **settings)["features"]["image_variance"] for image in images]
    forwards: list[int] = []
    with pipe.model.model.register_forward_hook(lambda *_: forwards.append(1)):
        together = pipe(images=images, batch_size=3, **settings)
        count = len(forwards)
        pipe(images=images, batch_size=3, return_confidence=False, **{**settings, "return_features": False})
    assert [answer["features"]["image_variance"] for answer in together] == pytest.approx(alone, abs=1e-5)
    assert len(forwards) - count == count - 1


@pytest.mark.parametrize("name", ["text-to-pose", "pose-to-text"])
@pytest.mark.parametrize("weights", [None, {"code_log_prob": 1.0, "text_min_log_prob": 0.3, "bias": 0.2}])
def test_only_the_features_that_a_confidence_needs_are_computed(
    pipe: UniPosePipeline, monkeypatch: pytest.MonkeyPatch, name: str, weights: dict | None
) -> None:
    monkeypatch.setattr(pipe.model.config, "confidence_weights", weights and {name: weights})
    whole = ask(pipe, name, return_features=True)
    of_codes: list[int] = []
    monkeypatch.setattr(type(pipe.model.model.pose_tokenizer), "code_variance", lambda *_: of_codes.append(1))
    assert ask(pipe, name)["confidence"] == whole["confidence"]
    assert not of_codes


@pytest.mark.parametrize("name", ["text-to-pose", "pose-edit"])
def test_requests_of_any_length_are_scored_together_as_alone(pipe: UniPosePipeline, name: str) -> None:
    texts = ["A person kneels.", "A person sits on the floor with both arms raised above the head.", "Sit."]
    poses = [[random_pose(number)] for number in range(3)] if name == "pose-edit" else None
    settings = {"task": name, "return_features": True}
    together = pipe(texts, poses=poses, batch_size=3, **settings)
    for number, answer in enumerate(together):
        own = {} if poses is None else {"poses": poses[number]}
        alone = pipe(texts[number], **own, **settings)
        assert answer["features"] == pytest.approx(alone["features"], abs=1e-4)
        assert "consistency" in alone["features"]
