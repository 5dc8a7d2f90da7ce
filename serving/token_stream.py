"""Follows the tokens of a running batch: counts them, hands on the texts so far, stops when nobody waits."""

from collections.abc import Sequence
from typing import Any

import torch

from .batcher import Dropped, Job


INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class TokenStream:
    """A streamer of transformers for all rows of a batch.

    Args:
        jobs: The jobs of the batch.
        pipe: The pipeline.
        live: Whether texts are handed on: not where the pipeline may still replace them.
    """

    def __init__(self, jobs: Sequence[Job], pipe: Any, live: bool):
        self.jobs, self.processor, self.live = jobs, pipe.processor, live
        ends = pipe.model.generation_config.eos_token_id
        self.ends = {-1} if ends is None else {ends} if isinstance(ends, int) else set(ends)
        self.prompt_tokens, self.answer_tokens = [0] * len(jobs), [0] * len(jobs)
        # Of the call of `generate` that runs.
        self.rows: list[list[int]] | None = None
        self.finished: list[bool] = []
        self.shown: list[str] = []

    def put(self, value: torch.Tensor) -> None:
        """Takes the prompts (rows, length), then the next token of each row.

        Raises:
            Dropped: Nobody waits for an answer.
        """
        if all(job.dropped for job in self.jobs):
            raise Dropped
        if self.rows is None:
            tokens = (value != self.processor.tokenizer.pad_token_id).sum(dim=1).tolist()
            self.prompt_tokens = [old + new for old, new in zip(self.prompt_tokens, tokens)]
            self.rows = []
            return
        tokens = value.reshape(-1).tolist()
        if not self.rows:
            self.rows = [[] for _ in tokens]
            self.finished, self.shown = [False] * len(tokens), [""] * len(tokens)
        choices = len(tokens) // len(self.jobs)
        for number, token in enumerate(tokens):
            if self.finished[number]:
                continue
            self.finished[number] = token in self.ends
            self.rows[number].append(token)
            self.answer_tokens[number // choices] += 1
            job = self.jobs[number // choices]
            if self.live and job.emit is not None and not self.finished[number]:
                self.show(job, number, choices)

    def show(self, job: Job, number: int, choices: int) -> None:
        """Hands on the text of a row so far.

        Args:
            job: Its job.
            number: Number of the row.
            choices: Number of rows of a job.
        """
        assert self.rows is not None
        (answer,) = self.processor.post_process_generation([self.rows[number]])
        text = answer["text"]
        if text != self.shown[number] and not text.endswith(INCOMPLETE):
            self.shown[number] = text
            assert job.emit is not None
            job.emit(number % choices, text)

    def end(self) -> None:
        """The call of `generate` has ended."""
        self.last_rows, self.rows = self.rows or [], None

    def finish_reason(self, job: int, choice: int) -> str:
        """How an answer ended: "stop", or "length" at the limit of tokens.

        Args:
            job: Number of the job.
            choice: Number of its answer.
        """
        choices = len(self.last_rows) // len(self.jobs)
        row = self.last_rows[job * choices + choice]
        return "stop" if row[-1] in self.ends or row[-1] == self.processor.pose_end_token_id else "length"
