"""The place of photos and the webcam on the page."""

import gradio as gr


NOT_HERE = (
    "Photos of real people need a second model, which runs in your browser. This Space was built without its files. "
    "The model itself knows rendered people only."
)


def build_photos() -> None:
    """Adds what there is for photos to the page."""
    with gr.Accordion("Photo or webcam", open=False, elem_id="photos"):
        gr.Markdown(NOT_HERE, elem_id="photos-note")
