"""What `generate` promises for any model. transformers has a mixin of this name; it is in no package (see `upstream`).

This one is ours, in its place: a class with a `model_tester` and `all_generative_model_classes` inherits it.
"""

import tempfile
from collections.abc import Iterator

import pytest
import torch
from transformers import CompileConfig, DynamicCache, PreTrainedModel
from transformers.testing_utils import torch_device

from unipose.cache_keyword import CACHE


Inputs = dict[str, torch.Tensor]
ROWS, NEW_TOKENS = 3, 12


class GenerationTesterMixin:
    """Greedy search unless a test says otherwise; scores are compared as well as ids."""

    def generative_models(self, **config_changes) -> Iterator[tuple[PreTrainedModel, Inputs]]:
        for model_class in self.all_generative_model_classes:
            torch.manual_seed(0)
            config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
            config.get_text_config().eos_token_id = None
            for part in (config, config.get_text_config()):
                # Wide enough that the arg-maxima of a random model are far apart.
                part.initializer_range = 0.5
            for name, value in config_changes.items():
                setattr(config, name, value)
            model = model_class(config).to(torch_device).eval()
            yield model, {name: value[:ROWS].to(torch_device) for name, value in inputs.items()}

    def generate(self, model: PreTrainedModel, inputs: Inputs, **kwargs):
        settings = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "return_dict_in_generate": True}
        return model.generate(**inputs, **{**settings, "output_scores": True, "output_logits": True, **kwargs})

    def assert_same(self, first, second, prompt: int = 0):
        """Same new ids and scores; `prompt` is how much longer the second's prompt is."""
        torch.testing.assert_close(first.sequences, second.sequences[:, prompt:])
        torch.testing.assert_close(torch.stack(first.scores), torch.stack(second.scores), atol=1e-4, rtol=1e-4)

    def test_generate_greedy(self):
        for model, inputs in self.generative_models():
            length = inputs["input_ids"].shape[1]
            output = self.generate(model, inputs)
            assert tuple(output.sequences.shape) == (ROWS, length + NEW_TOKENS)
            torch.testing.assert_close(output.sequences[:, :length], inputs["input_ids"])
            chosen = torch.stack([step.argmax(dim=-1) for step in output.scores], dim=1)
            torch.testing.assert_close(output.sequences[:, length:], chosen)
            assert len(output.logits) == NEW_TOKENS
            torch.testing.assert_close(self.generate(model, inputs, return_dict_in_generate=False), output.sequences)

    def test_generate_returns_attentions_and_hidden_states(self):
        for model, inputs in self.generative_models():
            model.set_attn_implementation("eager")
            config = model.config.get_text_config()
            flags = {"output_attentions": True, "output_hidden_states": True}
            output = self.generate(model, inputs, generation_mode="text", **flags)
            length = inputs["input_ids"].shape[1]
            assert (len(output.attentions), len(output.hidden_states)) == (NEW_TOKENS, NEW_TOKENS)
            for step, (attentions, states) in enumerate(zip(output.attentions, output.hidden_states)):
                new = length if step == 0 else 1
                shape = (ROWS, config.num_attention_heads, new, length + step)
                assert [tuple(layer.shape) for layer in attentions] == [shape] * config.num_hidden_layers
                shape = (ROWS, new, config.hidden_size)
                assert [tuple(layer.shape) for layer in states] == [shape] * (config.num_hidden_layers + 1)

    def test_generate_without_cache(self):
        for model, inputs in self.generative_models():
            self.assert_same(self.generate(model, inputs), self.generate(model, inputs, use_cache=False))

    def test_generate_with_other_caches(self):
        for model, inputs in self.generative_models():
            expected = self.generate(model, inputs)
            for kwargs in ({"cache_implementation": "static"}, {CACHE: DynamicCache(config=model.config)}):
                self.assert_same(expected, self.generate(model, inputs, **kwargs))

    def test_generate_samples(self):
        for model, inputs in self.generative_models():
            outputs = []
            for _ in range(2):
                torch.manual_seed(1)
                outputs.append(self.generate(model, inputs, do_sample=True, top_k=5, num_return_sequences=2))
            assert len(outputs[0].sequences) == 2 * ROWS
            self.assert_same(*outputs)
            lowest = torch.finfo(outputs[0].scores[0].dtype).min
            assert all((step > lowest).sum(dim=-1).le(5).all() for step in outputs[0].scores)

    def test_generate_with_beams(self):
        for model, inputs in self.generative_models():
            for do_sample in (False, True):
                kwargs = {"num_beams": 3, "num_return_sequences": 2, "do_sample": do_sample}
                output = self.generate(model, inputs, generation_mode="text", **kwargs)
                assert len(output.sequences) == 2 * ROWS
                best, second = output.sequences_scores.unflatten(0, (ROWS, 2)).unbind(1)
                assert (best >= second).all()

    def test_generate_with_left_padding(self):
        for model, inputs in self.generative_models():
            pad = model.config.get_text_config().pad_token_id
            padded = {
                **inputs,
                "input_ids": torch.nn.functional.pad(inputs["input_ids"], (5, 0), value=pad),
                "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (5, 0), value=0),
            }
            self.assert_same(self.generate(model, inputs), self.generate(model, padded), prompt=5)

    def test_generate_from_inputs_embeds(self):
        for model, inputs in self.generative_models():
            ids = inputs["input_ids"]
            embeds = {name: value for name, value in inputs.items() if name != "input_ids"}
            embeds["inputs_embeds"] = model.get_input_embeddings()(ids)
            for kwargs in ({}, {"cache_implementation": "static"}, {"num_return_sequences": 2, "do_sample": True}):
                torch.manual_seed(1)
                expected = self.generate(model, inputs, **kwargs)
                torch.manual_seed(1)
                self.assert_same(self.generate(model, embeds, **kwargs), expected, prompt=ids.shape[1])

    def test_generation_can_be_continued(self):
        for model, inputs in self.generative_models():
            first = self.generate(model, inputs, max_new_tokens=NEW_TOKENS // 2, generation_mode="text")
            rest = {
                "input_ids": first.sequences,
                "attention_mask": torch.ones_like(first.sequences),
                CACHE: first[CACHE],
            }
            expected = self.generate(model, inputs, generation_mode="text")
            second = self.generate(model, rest, max_new_tokens=NEW_TOKENS // 2, generation_mode="text")
            torch.testing.assert_close(second.sequences, expected.sequences)
            torch.testing.assert_close(
                torch.stack(first.scores + second.scores), torch.stack(expected.scores), atol=1e-4, rtol=1e-4
            )

    def test_generation_can_be_continued_with_the_same_inputs(self):
        """Images and poses that the cache holds already may be passed again, with ids and with embeddings."""
        for model, inputs in self.generative_models():
            settings = {"generation_mode": "text", "max_new_tokens": NEW_TOKENS // 2}
            expected = self.generate(model, inputs, generation_mode="text").sequences
            embed = model.get_input_embeddings()
            for embedded in (False, True):
                rest = {name: value for name, value in inputs.items() if name != "input_ids"}
                prompt = inputs["input_ids"]
                first_inputs = rest | ({"inputs_embeds": embed(prompt)} if embedded else {"input_ids": prompt})
                first = self.generate(model, first_inputs, **settings)
                answer = first.sequences[:, 0 if embedded else prompt.shape[1] :]
                whole = torch.cat([prompt, answer], dim=1)
                rest |= {"inputs_embeds": embed(whole)} if embedded else {"input_ids": whole}
                rest |= {"attention_mask": torch.ones_like(whole), CACHE: first[CACHE]}
                second = self.generate(model, rest, **settings).sequences
                new = second if embedded else second[:, whole.shape[1] :]
                torch.testing.assert_close(torch.cat([whole, new], dim=1), expected)

    def test_no_token_ends_or_pads_an_answer(self):
        """The library's way to generate up to the limit."""
        for model, inputs in self.generative_models():
            expected = self.generate(model, inputs)
            self.assert_same(expected, self.generate(model, inputs, eos_token_id=-1, pad_token_id=-1))
            model.generation_config.eos_token_id = model.generation_config.pad_token_id = -1
            self.assert_same(expected, self.generate(model, inputs))

    def test_processors_of_words_and_invalid_values(self):
        for model, inputs in self.generative_models():
            banned = int(self.generate(model, inputs).sequences[0, -1])
            for kwargs in ({}, {"do_sample": True, "top_k": 10, "top_p": 0.7, "temperature": 0.7}):
                kwargs |= {
                    "repetition_penalty": 1.2,
                    "remove_invalid_values": True,
                    "bad_words_ids": [[1, 0], [banned]],
                }
                for mode in ({}, {"generation_mode": "text", "num_beams": 2}):
                    sequences = self.generate(model, inputs, **kwargs, **mode).sequences
                    assert not (sequences[:, inputs["input_ids"].shape[1] :] == banned).any()

    def test_assisted_decoding_and_prompt_lookup_equal_greedy_search(self):
        for model, inputs in self.generative_models():
            one = {name: value[:1] for name, value in inputs.items()}
            expected = self.generate(model, one, generation_mode="text").sequences
            (other, _), *_ = self.generative_models()
            torch.nn.init.normal_(other.lm_head.weight)
            for kwargs in ({"assistant_model": other}, {"assistant_model": model}, {"prompt_lookup_num_tokens": 2}):
                output = self.generate(model, one, generation_mode="text", **kwargs)
                torch.testing.assert_close(output.sequences, expected)
                assert len(output.scores) == NEW_TOKENS

    def test_compiled_decoding_in_one_graph_equals_eager(self):
        for model, inputs in self.generative_models():
            config = CompileConfig(fullgraph=True, backend="eager", mode=None)
            config._compile_all_devices = True
            for rows in (slice(0, 2), slice(1, 3)):
                part = {name: value[rows] for name, value in inputs.items()}
                kwargs = {"generation_mode": "text", "cache_implementation": "static", "compile_config": config}
                self.assert_same(
                    self.generate(model, part, generation_mode="text"), self.generate(model, part, **kwargs)
                )
            assert hasattr(model, "_compiled_call")

    def test_cache_has_the_librarys_form(self):
        for model, inputs in self.generative_models():
            config = model.config.get_text_config()
            cache = self.generate(model, inputs)[CACHE]
            shape = (
                ROWS,
                config.num_key_value_heads,
                inputs["input_ids"].shape[1] + NEW_TOKENS - 1,
                config.hidden_size // config.num_attention_heads,
            )
            assert len(cache.layers) == config.num_hidden_layers
            for layer in cache.layers:
                assert (tuple(layer.keys.shape), tuple(layer.values.shape)) == (shape, shape)

    def test_logits_to_keep(self):
        for model, inputs in self.generative_models():
            with torch.no_grad():
                everything = model(**inputs).logits
                last = model(**inputs, logits_to_keep=2).logits
                chosen = model(**inputs, logits_to_keep=torch.tensor([0, 3])).logits
            torch.testing.assert_close(last, everything[:, -2:])
            torch.testing.assert_close(chosen, everything[:, [0, 3]])

    def test_generation_mode_of_a_saved_model(self):
        for model, inputs in self.generative_models():
            model.generation_config.update(top_k=7, temperature=0.3)
            model.generation_config.do_sample = True
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder)
                loaded = type(model).from_pretrained(folder)
            assert (loaded.generation_config.top_k, loaded.generation_config.temperature) == (7, 0.3)
            self.assert_same(self.generate(model, inputs), self.generate(loaded, inputs))

    def test_unknown_arguments_are_refused(self):
        for model, inputs in self.generative_models():
            with pytest.raises(ValueError, match="foo"):
                model.generate(**inputs, foo="bar")

    def test_generate_leaves_its_inputs_alone(self):
        for model, inputs in self.generative_models():
            before = {name: value.clone() for name, value in inputs.items()}
            self.generate(model, inputs)
            torch.testing.assert_close(inputs, before)
            assert all(parameter.grad is None for parameter in model.parameters())
