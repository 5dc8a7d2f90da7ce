"""The page: components, and what happens when they are used."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from answering import MODES, Assistant, Request
from downloads import offer_files, pose_files
from examples import EXAMPLES, example_image, standing_pose
from front import Front
from gradio.processing_utils import save_pil_to_cache
from messages import explain
from photos import MEDIAPIPE, build_photos, read_photo
from session import Session, Turn, before_and_after
from tools import Tools, explained
from uploads import IMAGE_ENDINGS, POSE_ENDINGS, read_uploads
from viewer_component import PoseViewer, Scene, read_edit

from unipose.processing.pose_frames import FRAMES
from unipose.processing.rendering import render_pose


TITLE = "UniPose: 3D human poses by words, images and hand"
GREETING = (
    "Say a pose, add an image or a pose file, or try an example. Then change the pose by words, or drag a joint."
)
MODE_LABELS = ("Let the model decide", "Make a new pose", "Change the pose", "Ask about it", "Compare")
CANDIDATE_SIZE = 160
AS_STATED = "as the file says"
# All that runs the model waits in one line.
MODEL: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model", "api_visibility": "private"}
LIGHT: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CSS = """
#viewer, #viewer > *, #viewer > * > * { height: min(64vh, 600px); min-height: 320px; }
#page-title h1 { margin: 0.2rem 0; font-size: 1.3rem; }
#steps { flex-wrap: nowrap; align-items: center; }
#message textarea::placeholder { color: var(--body-text-color-subdued); }
@media (max-width: 700px) {
    #viewer, #viewer > *, #viewer > * > * { height: 52vh; }
    .gradio-container { padding: 6px !important; }
    #steps { flex-wrap: wrap; }
    #steps > :first-child { flex-basis: 100%; }
}
"""


class Page:
    """The page of the Space.

    Args:
        assistant: Answers visitors.
        note: What visitors should know about the model, or "".
        mediapipe: Folder of the files that find people in photos.
    """

    def __init__(self, assistant: Assistant, note: str = "", mediapipe: Path = MEDIAPIPE):
        self.assistant, self.limits, self.mediapipe = assistant, assistant.limits, mediapipe
        kept = self.limits.kept_seconds
        with Front(title=TITLE, analytics_enabled=False, delete_cache=(kept // 4, kept)) as self.blocks:
            self.session = gr.State(Session(), time_to_live=kept)
            gr.Markdown(f"# {TITLE}", elem_id="page-title")
            gr.Markdown(note, elem_id="model-note", visible=bool(note))
            with gr.Row(elem_id="main"):
                with gr.Column(scale=3, min_width=320):
                    self.build_pose()
                with gr.Column(scale=2, min_width=320):
                    self.build_conversation()
            self.connect()
            self.add_tools()

    def build_pose(self) -> None:
        """The view, and right under it the words: so they stand on a phone too."""
        self.viewer = PoseViewer(value=Scene([standing_pose()]), elem_id="viewer")
        self.message = gr.MultimodalTextbox(
            placeholder="A person squats.  /  Raise the left arm.  /  Are the knees bent?",
            show_label=False,
            file_types=[*IMAGE_ENDINGS, *POSE_ENDINGS],
            file_count="multiple",
            max_lines=4,
            max_plain_text_length=self.limits.text_length * 4,
            elem_id="message",
        )
        with gr.Row(elem_id="steps"):
            self.mode = gr.Dropdown(
                list(zip(MODE_LABELS, MODES)),
                value="auto",
                show_label=False,
                container=False,
                min_width=120,
                scale=3,
                elem_id="mode",
            )
            self.undo = gr.Button("Undo", size="sm", interactive=False, elem_id="undo", min_width=60)
            self.redo = gr.Button("Redo", size="sm", interactive=False, elem_id="redo", min_width=60)
            self.clear = gr.Button("New", size="sm", elem_id="clear", min_width=60)
        self.both = gr.Checkbox(False, label="Show the pose before beside it", container=False, elem_id="both")

    def build_conversation(self) -> None:
        """Words so far, poses to choose from, examples and files."""
        self.chat = gr.Chatbot(
            label="Conversation",
            placeholder=GREETING,
            height=340,
            render_markdown=False,
            allow_tags=False,
            feedback_options=None,
            buttons=["copy"],
            elem_id="chat",
        )
        self.candidates = gr.Gallery(
            label="Choose a pose",
            columns=4,
            height=190,
            visible=False,
            allow_preview=False,
            object_fit="contain",
            buttons=[],
            elem_id="candidates",
        )
        self.examples = gr.Dataset(
            components=[gr.Textbox(visible=False)],
            samples=[[example.label] for example in EXAMPLES],
            label="Examples, in this order",
            type="index",
            elem_id="examples",
        )
        self.answers = gr.Slider(
            1, self.limits.answers, 1, step=1, label="Poses to choose from", elem_id="answers", buttons=[]
        )
        self.photos = build_photos(self.mediapipe)
        with gr.Accordion("Files", open=False, elem_id="files-part"):
            self.write = gr.Button("Write the pose as files", size="sm", interactive=False, elem_id="write")
            self.files = gr.Files(label="GLB, BVH, NPZ, OpenPose, PNG, HTML and all in one zip", elem_id="files")
            self.frame = gr.Dropdown(
                [AS_STATED, *FRAMES], value=AS_STATED, label="Frame of the pose files that you add", elem_id="frame"
            )

    def connect(self) -> None:
        """What happens when the components are used."""
        shown = [self.session, self.viewer, self.chat, self.candidates, self.undo, self.redo, self.write]
        now = [self.session, self.both]
        self.message.submit(
            self.send, [*now, self.message, self.mode, self.answers, self.frame], [*shown, self.message], **MODEL
        )
        self.examples.click(self.run_example, [*now, self.examples], shown, **MODEL)
        self.viewer.edit(self.turn_by_hand, now, shown, trigger_mode="always_last", show_progress="hidden", **MODEL)
        if self.photos is not None:
            self.photos.submit(self.take_photo, now, shown, show_progress="hidden", **MODEL)
        self.candidates.select(self.choose, now, shown, **LIGHT)
        for button, step in ((self.undo, Session.undo), (self.redo, Session.redo), (self.clear, lambda _: Session())):
            button.click(self.step(step), now, shown, **LIGHT)
        self.chat.clear(lambda both: self.show(Session(), both), self.both, shown, **LIGHT)
        self.both.change(self.show, now, shown, **LIGHT)
        self.write.click(self.write_files, self.session, self.files, **MODEL)

    def add_tools(self) -> None:
        """The functions of the API and of MCP."""
        tools = Tools(self.assistant, self.viewer.GRADIO_CACHE)
        functions = (tools.describe, tools.generate, tools.edit, tools.compare, tools.estimate, tools.ask, tools.draw)
        for function in functions:
            gr.api(explained(function), api_name=function.__name__, concurrency_limit=1, concurrency_id="model")

    # What each listener does: the session goes in and comes out, and the page shows it.

    def show(self, session: Session, both: bool, edit: int | float = float("inf")) -> tuple[Any, ...]:
        """The values of all components that show the session.

        Args:
            session: The conversation.
            both: Whether the pose before stands beside the pose.
            edit: Number of the edit by hand that this answers.
        """
        poses = session.poses
        seen = before_and_after(poses) if both else poses[-1:]
        labels = ("before", "after") if len(seen) == 2 else ()
        captions = [*[""] * (len(seen) - 1), session.caption] if seen else []
        pictures = [
            (render_pose(candidate.pose, size=CANDIDATE_SIZE, supersample=1), f"{candidate.confidence:.0%}")
            for candidate in session.candidates
        ]
        return (
            session,
            Scene(seen or [standing_pose()], captions, labels, edit),
            [message for turn in session.shown for message in messages_of(turn)],
            gr.Gallery(value=pictures, visible=bool(pictures), selected_index=None),
            gr.Button(interactive=session.position > 0),
            gr.Button(interactive=session.can_redo),
            gr.Button(interactive=bool(poses)),
        )

    def attempt(self, session: Session, request: str, act: Callable[[], Session]) -> Session:
        """The conversation after an act, or with the reason why it failed.

        Args:
            session: The conversation before.
            request: What the visitor did.
            act: Gives the conversation after it.
        """
        try:
            return act()
        except Exception as error:  # see `explain`
            shown = request[: self.limits.text_length] or "(files)"
            return session.add(Turn(shown, explain(error)), self.limits.turns)

    def send(self, session: Session, both: bool, message: Any, mode: Any, answers: Any, frame: Any) -> tuple[Any, ...]:
        """Answers a message with its files.

        Args:
            session: The conversation.
            both: Whether the pose before is shown.
            message: Text and files of the message.
            mode: One of `MODES`.
            answers: Number of poses to choose from.
            frame: Frame of pose files.
        """
        text = message.get("text") or ""

        def act() -> Session:
            stated = frame if frame in FRAMES else None
            found = read_uploads(message.get("files") or [], self.limits, stated)
            contents = (found.images, found.image_paths, found.poses, found.notes)
            return self.assistant.answer(session, Request(text, mode, *contents, answers))

        return *self.show(self.attempt(session, text, act), both), None

    def run_example(self, session: Session, both: bool, index: int) -> tuple[Any, ...]:
        """Answers an example.

        Args:
            session: The conversation.
            both: Whether the pose before is shown.
            index: Number of the example.
        """
        example = EXAMPLES[index]

        def act() -> Session:
            request = Request(example.text, example.mode)
            if example.image_of:
                image = example_image(self.assistant, example.image_of)
                path = save_pil_to_cache(image, self.viewer.GRADIO_CACHE, format="png")
                request = Request(example.text, example.mode, [image], [path])
            return self.assistant.answer(session, request)

        return self.show(self.attempt(session, example.label, act), both)

    def turn_by_hand(self, session: Session, both: bool, event: gr.EventData) -> tuple[Any, ...]:
        """Takes over a pose that was turned in the viewer, and gives it words.

        Args:
            session: The conversation.
            both: Whether the pose before is shown.
            event: What the viewer sent.
        """
        edits = [float("inf")]

        def act() -> Session:
            pose, joint, edits[0] = read_edit(event._data)
            return self.assistant.move(session, pose.numpy(), joint)

        return self.show(self.attempt(session, "Turned by hand.", act), both, edits[0])

    def take_photo(self, session: Session, both: bool, event: gr.EventData) -> tuple[Any, ...]:
        """Takes over a pose that was found in a photo or by the webcam, and gives it words.

        Args:
            session: The conversation.
            both: Whether the pose before is shown.
            event: What the page sent.
        """

        def act() -> Session:
            pose, origin = read_photo(event._data)
            return self.assistant.take_over(session, pose.numpy(), origin)

        return self.show(self.attempt(session, "Pose of a photo.", act), both)

    def choose(self, session: Session, both: bool, event: gr.SelectData) -> tuple[Any, ...]:
        """Takes another candidate as the pose.

        Args:
            session: The conversation.
            both: Whether the pose before is shown.
            event: Which one was clicked.
        """
        return self.show(self.attempt(session, "Another pose.", lambda: session.choose(event.index)), both)

    def step(self, step: Callable[[Session], Session]) -> Callable[[Session, bool], tuple[Any, ...]]:
        """A listener that steps through the history.

        Args:
            step: Session -> session.
        """

        def listen(session: Session, both: bool) -> tuple[Any, ...]:
            return self.show(step(session), both)

        return listen

    def write_files(self, session: Session) -> list[str] | None:
        """The files of the current pose.

        Args:
            session: The conversation.
        """
        if session.pose is None:
            return None
        return offer_files(pose_files(session.pose), self.files.GRADIO_CACHE)


def messages_of(turn: Turn) -> list[dict[str, Any]]:
    """A turn as the conversation shows it.

    Args:
        turn: The turn.
    """
    images = [{"role": "user", "content": {"path": path, "alt_text": "your image"}} for path in turn.images]
    # The chat shows markup, and words are no markup.
    request, reply = html.escape(turn.request, quote=False), html.escape(turn.reply, quote=False)
    return [*images, {"role": "user", "content": request}, {"role": "assistant", "content": reply}]
