"""Chats -> prompts. The form of a chat is checked first, and control tokens in its texts are plain text."""

import re
from typing import Any

from jinja2 import TemplateError
from transformers.processing_utils import ProcessorMixin
from transformers.utils.chat_template_utils import render_jinja_template

from .chat_schema import ALL_SOURCES, ChatSources, CheckedChats, Message, check_chat, check_text
from .control_tokens import break_control_tokens, control_token_pattern, encode_texts
from .pose_features import Frame
from .processor_checks import check_template


# What templates write around messages as ordinary text, as Llama 2: no tokenizer tells a typed one from it.
MARKERS = re.compile(r"\[/?[A-Z_]+\]|<</?[A-Z_]+>>")


class ChatTemplateMixin(ProcessorMixin):
    """The chat template, for `UniPoseProcessor`.

    Args:
        allow_urls: Whether blocks of chats may refer to http addresses: only where the authors are trusted. A setting
            of this process, which is not saved; default False.
        allow_local_files: The same for local files.
    """

    allow_urls: bool = False
    allow_local_files: bool = False
    tokenizer: Any
    placeholders: Any
    template_variables: Any
    codebook_size: int
    pose_code_prefix: str
    # Number of tokens, and the pattern of the control tokens among them.
    _control_tokens: tuple[int, re.Pattern] | None = None
    # The chat template that has been checked.
    _checked_template: str | None = None
    _resolve_chat_template: Any
    _adjust_assistant_masks_indices: Any
    _ending: Any

    @property
    def control_tokens(self) -> re.Pattern:
        """Finds control tokens in the text of users: special tokens and pose codes, also placeholders."""
        cached = self._control_tokens
        if cached is None or cached[0] != len(self.tokenizer):
            codes = [f"<{self.pose_code_prefix}{code}>" for code in range(self.codebook_size)]
            cached = self._control_tokens = (len(self.tokenizer), control_token_pattern(self.tokenizer, codes))
        return cached[1]

    def plain_text(self, text: str, placeholders: bool = False, pattern: re.Pattern | None = None) -> str:
        """The text of a user, in which no control token is live: they are encoded as plain text.

        Args:
            text: What the user typed.
            placeholders: Whether `<pose>` and `<image>` stay placeholders.
            pattern: The `control_tokens`; for many texts it is quicker to look them up once.

        Raises:
            ValueError: A lone surrogate, or what the chat template itself writes around messages, such as [INST].
        """
        written = set(MARKERS.findall(str(self.chat_template)))
        typed = next((marker for marker in MARKERS.findall(text) if marker in written), None)
        if typed is not None:
            raise ValueError(
                f"the text holds {typed!r}, which the chat template of this model writes around messages; accepted: "
                "texts without it"
            )
        kept = [token.token for token in self.placeholders.values()] if placeholders else []
        return break_control_tokens(check_text(text, "the text"), pattern or self.control_tokens, kept)

    def check_chats(
        self, conversation: Any, allow_urls: bool | None = None, allow_local_files: bool | None = None
    ) -> tuple[CheckedChats, bool]:
        """Checks one chat, or a list of them.

        Args:
            conversation: See `apply_chat_template`.
            allow_urls: Default: that of the processor.
            allow_local_files: Default: that of the processor.

        Returns:
            Copies of the chats (`chat_schema.check_chat`), and whether there is a list.

        Raises:
            ValueError: A chat has another form.
        """
        sources = ChatSources(
            self.allow_urls if allow_urls is None else allow_urls,
            self.allow_local_files if allow_local_files is None else allow_local_files,
        )
        return self._check_chats(conversation, sources)

    @staticmethod
    def mark_checked(chats: list[list[Message]]) -> CheckedChats:
        """Changed copies of the chats of `check_chats`, for `apply_chat_template`, which does not check them again."""
        return CheckedChats(chats)

    @staticmethod
    def _check_chats(conversation: Any, sources: ChatSources) -> tuple[CheckedChats, bool]:
        if isinstance(conversation, CheckedChats):
            return conversation, True
        conversation = getattr(conversation, "messages", conversation)
        is_list = isinstance(conversation, list | tuple)
        if (
            is_list
            and conversation
            and all(isinstance(chat, list | tuple) or hasattr(chat, "messages") for chat in conversation)
        ):
            chats = [getattr(chat, "messages", chat) for chat in conversation]
            checked = [check_chat(chat, sources, f"chat {number}, ") for number, chat in enumerate(chats, 1)]
            return CheckedChats(checked), True
        return CheckedChats([check_chat(conversation, sources)]), False

    def with_plain_texts(self, messages: list[Message], placeholders: bool, pattern: re.Pattern) -> list[Message]:
        """A checked chat whose texts have no live control tokens.

        Args:
            messages: The chat.
            placeholders: See `plain_text`.
            pattern: See there.
        """

        def plain(part: Any) -> Any:
            if isinstance(part, str):
                return self.plain_text(part, placeholders, pattern)
            if part["type"] != "text":
                return part
            return part | {"text": self.plain_text(part["text"], placeholders, pattern)}

        contents = [message["content"] for message in messages]
        parts = [plain(value) if isinstance(value, str) else [plain(part) for part in value] for value in contents]
        return [message | {"content": content} for message, content in zip(messages, parts)]

    def _own_template(self, name: str | None = None) -> str:
        """One of the processor's own templates, checked: a damaged one would leave out what a chat says."""
        template = self._resolve_chat_template(name)
        if template != self._checked_template:
            check_template(self, template, name or "default")
            self._checked_template = template
        return template

    def encode_chat(self, messages: Any) -> dict[str, list[int]]:
        """Tokenizes a chat whose images and poses are blocks without values, as in a training row.

        Args:
            messages: A chat. Its texts hold no placeholders: typed ones are text.

        Returns:
            `input_ids`, and `assistant_masks`: 1 on the assistant's content and eos.

        Raises:
            ValueError: The chat has another form.
        """
        chats, _ = self.check_chats(messages)
        template = self._own_template()
        rendered: Any = render_jinja_template(
            conversations=[self.with_plain_texts(chats[0], False, self.control_tokens)],
            chat_template=template,
            return_assistant_tokens_mask=True,
            **self.tokenizer.special_tokens_map,
            **self.template_variables(template),
        )
        prompts, spans = rendered
        encoded = encode_texts(self.tokenizer, prompts, add_special_tokens=False, return_offsets_mapping=True)
        encoded = self._adjust_assistant_masks_indices(encoded, spans)
        return {name: encoded[name][0] for name in ("input_ids", "assistant_masks")}

    def apply_chat_template(  # type: ignore[override]
        self,
        conversation: Any,
        chat_template: str | None = None,
        *,
        generation_mode: str | None = None,
        frame: Frame | None = None,
        tokenize: bool = False,
        processor_kwargs: dict[str, Any] | None = None,
        sanitize_control_tokens: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Formats a conversation, or a list of them.

        A message is {"role", "content"}; its content is a string or blocks {"type": "text", "text"},
        {"type": "image", "image" | "url" | "path" | "base64"}, {"type": "pose", "pose" | "path", "frame"}. A block
        without its image or pose takes the next of `images` or `poses` in `processor_kwargs`. Keys that are None are
        ignored. Blocks refer to addresses and local files only if the processor's `allow_urls` or `allow_local_files`
        is True; a string of `tokenize=False` reads nothing.

        Control tokens in the texts of a chat are plain text; `<pose>` and `<image>` are placeholders. A string of
        `tokenize=False` has an invisible break in such control tokens, which `__call__` does not encode.

        Args:
            conversation: Messages (dicts, dataclasses, pydantic models), or a list of conversations.
            chat_template: Another Jinja template.
            generation_mode: "pose" adds the generation prompt and pose-start.
            frame: Frame of the poses, as in `__call__`; a block's own "frame" comes first.
            tokenize: Whether to return ids (with `return_dict=True` the whole batch, as `__call__`), not strings.
            processor_kwargs: Arguments of `__call__`; its images and poses may be paths and URLs.
            sanitize_control_tokens: Whether `<pose>` and `<image>` in texts are plain text too.
            kwargs: The library's: `add_generation_prompt`, `continue_final_message`, `return_assistant_tokens_mask`
                (1 on the assistant's content and eos), `return_dict`, `return_tensors`; and template variables.

        Raises:
            ValueError: As `__call__`; a conversation of another form, with the message and its part; an address or a
                file that may not be read; what the template refuses.
        """
        ending = self._ending(generation_mode)
        if ending and not kwargs.get("continue_final_message"):
            kwargs["add_generation_prompt"] = True
        checked, is_batched = (
            self.check_chats(conversation) if tokenize else self._check_chats(conversation, ALL_SOURCES)
        )
        pattern = self.control_tokens
        chats = [self.with_plain_texts(chat, not sanitize_control_tokens, pattern) for chat in checked]
        is_own = chat_template is None or (
            isinstance(self.chat_template, dict) and chat_template in self.chat_template
        )
        template = self._own_template(chat_template) if is_own else chat_template
        kwargs = {**self.template_variables(template), **kwargs}
        if tokenize:
            # The template adds every special token itself.
            processor_kwargs = {"add_special_tokens": False, **(processor_kwargs or {})}
            if generation_mode is not None:
                processor_kwargs["generation_mode"] = generation_mode
            if frame is not None:
                processor_kwargs["frame"] = frame
        try:
            output = super().apply_chat_template(
                chats if is_batched else chats[0],
                template,
                tokenize=tokenize,
                processor_kwargs=processor_kwargs,
                **kwargs,
            )
        except TemplateError as error:
            raise ValueError(f"the chat template: {error}") from error
        if tokenize:
            return output
        return output + ending if isinstance(output, str) else [prompt + ending for prompt in output]


__all__ = ["ChatTemplateMixin"]
