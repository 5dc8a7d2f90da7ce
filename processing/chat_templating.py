"""Chats -> prompts. The form of a chat is checked first, and control tokens in its texts are plain text."""

import re
from typing import Any

from jinja2 import TemplateError
from transformers.processing_utils import ProcessorMixin
from transformers.utils.chat_template_utils import render_jinja_template

from .chat_schema import ChatSources, Message, check_chat, check_text
from .control_tokens import break_control_tokens, control_token_pattern, encode_texts
from .pose_features import Frame


class ChatTemplateMixin(ProcessorMixin):
    """The chat template, for `UniPoseProcessor`."""

    tokenizer: Any
    placeholders: Any
    template_variables: Any
    codebook_size: int
    pose_code_prefix: str
    # Number of tokens, and the pattern of the control tokens among them.
    _control_tokens: tuple[int, re.Pattern] | None = None
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

    def plain_text(self, text: str, placeholders: bool = False) -> str:
        """The text of a user, in which no control token is live: they are encoded as plain text.

        Args:
            text: What the user typed.
            placeholders: Whether `<pose>` and `<image>` stay placeholders.

        Raises:
            ValueError: A lone surrogate.
        """
        kept = [token.token for token in self.placeholders.values()] if placeholders else []
        return break_control_tokens(check_text(text, "the text"), self.control_tokens, kept)

    def check_chats(
        self, conversation: Any, allow_urls: bool = False, allow_local_files: bool = False
    ) -> tuple[list[list[Message]], bool]:
        """Checks one chat, or a list of them.

        Args:
            conversation: See `apply_chat_template`.
            allow_urls: See there.
            allow_local_files: See there.

        Returns:
            Copies of the chats (`chat_schema.check_chat`), and whether there is a list.

        Raises:
            ValueError: A chat has another form.
        """
        sources = ChatSources(allow_urls, allow_local_files)
        conversation = getattr(conversation, "messages", conversation)
        is_list = isinstance(conversation, list | tuple)
        if (
            is_list
            and conversation
            and all(isinstance(chat, list | tuple) or hasattr(chat, "messages") for chat in conversation)
        ):
            chats = [getattr(chat, "messages", chat) for chat in conversation]
            return [check_chat(chat, sources, f"chat {number}, ") for number, chat in enumerate(chats, 1)], True
        return [check_chat(conversation, sources)], False

    def with_plain_texts(self, messages: list[Message], placeholders: bool) -> list[Message]:
        """A checked chat whose texts have no live control tokens.

        Args:
            messages: The chat.
            placeholders: See `plain_text`.
        """

        def plain(part: Any) -> Any:
            if isinstance(part, str):
                return self.plain_text(part, placeholders)
            return part | {"text": self.plain_text(part["text"], placeholders)} if part["type"] == "text" else part

        contents = [message["content"] for message in messages]
        parts = [plain(value) if isinstance(value, str) else [plain(part) for part in value] for value in contents]
        return [message | {"content": content} for message, content in zip(messages, parts)]

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
        template = self._resolve_chat_template(None)
        rendered: Any = render_jinja_template(
            conversations=[self.with_plain_texts(chats[0], placeholders=False)],
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
        allow_urls: bool = False,
        allow_local_files: bool = False,
        is_checked: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Formats a conversation, or a list of them.

        A message is {"role", "content"}; its content is a string or blocks {"type": "text", "text"},
        {"type": "image", "image" | "url" | "path" | "base64"}, {"type": "pose", "pose" | "path", "frame"}. A block
        without its image or pose takes the next of `images` or `poses` in `processor_kwargs`. Keys that are None are
        ignored.

        Control tokens in the texts of a chat are plain text; `<pose>` and `<image>` are placeholders. A string of
        `tokenize=False` has an invisible break in such control tokens, which `__call__` does not encode.

        Args:
            conversation: Messages, or a list of conversations.
            chat_template: Another Jinja template.
            generation_mode: "pose" adds the generation prompt and pose-start.
            frame: Frame of the poses, as in `__call__`; a block's own "frame" comes first.
            tokenize: Whether to return ids (with `return_dict=True` the whole batch, as `__call__`), not strings.
            processor_kwargs: Arguments of `__call__`; its images and poses may be paths and URLs.
            sanitize_control_tokens: Whether `<pose>` and `<image>` in texts are plain text too.
            allow_urls: Whether blocks may refer to http addresses: only for chats whose authors are trusted.
            allow_local_files: Whether blocks may refer to local files: only for chats whose authors are trusted.
            is_checked: Whether the conversation comes from `check_chats`.
            kwargs: The library's: `add_generation_prompt`, `continue_final_message`, `return_assistant_tokens_mask`
                (1 on the assistant's content and eos), `return_dict`, `return_tensors`; and template variables.

        Raises:
            ValueError: As `__call__`; a conversation of another form, with the message and its part; an address or a
                file that may not be read; what the template refuses.
        """
        ending = self._ending(generation_mode)
        if ending and not kwargs.get("continue_final_message"):
            kwargs["add_generation_prompt"] = True
        if is_checked:
            chats, is_batched = conversation, True
        else:
            chats, is_batched = self.check_chats(conversation, allow_urls, allow_local_files)
        chats = [self.with_plain_texts(chat, placeholders=not sanitize_control_tokens) for chat in chats]
        template = self._resolve_chat_template(chat_template)
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
