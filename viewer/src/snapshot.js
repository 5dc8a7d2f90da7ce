// A PNG of the view: the drawn frame without the handles, and the labels.

function drawLabel(context, label, scale) {
  const [x, y] = [parseFloat(label.style.left) * scale, parseFloat(label.style.top) * scale];
  const size = 14 * scale;
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textAlign = "center";
  const width = context.measureText(label.textContent).width;
  context.fillStyle = label.style.getPropertyValue("--up-color");
  context.fillRect(x - width / 2 - 1.2 * size, y - 1.2 * size, 0.8 * size, 0.8 * size);
  context.fillStyle = "#1b2733";
  context.fillText(label.textContent, x, y - 0.45 * size);
}

export function takeSnapshot(stage, editing, labels) {
  if (stage.renderer === null) return null;
  editing?.setVisible(false);
  stage.draw();
  // The drawn frame is gone after this task, so it is copied at once.
  const { width, height } = stage.canvas;
  const copy = Object.assign(document.createElement("canvas"), { width, height });
  const context = copy.getContext("2d");
  context.drawImage(stage.canvas, 0, 0);
  editing?.setVisible(true);
  stage.invalidate();
  const scale = width / stage.canvas.clientWidth;
  labels.filter((label) => label.textContent).forEach((label) => drawLabel(context, label, scale));
  return copy.toDataURL("image/png");
}
