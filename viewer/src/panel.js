// What stands around the view: labels, captions, buttons, the list of joints, and texts for screen readers.
import { HELP } from "./keyboard.js";
import { JOINTS, jointTitle } from "./joints.js";

const STYLE = `
.up-root { position: relative; display: flex; flex-direction: column; width: 100%; height: 100%; min-height: 220px;
  font: 14px/1.4 system-ui, sans-serif; color: #1b2733; background: #eef1f5; border-radius: 8px; overflow: hidden; }
.up-view { position: relative; flex: 1 1 0; min-height: 160px; }
.up-view canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block; touch-action: none; }
.up-view canvas:focus-visible { outline: 3px solid #0072b2; outline-offset: -3px; }
.up-label { position: absolute; transform: translate(-50%, -100%); padding: 1px 8px; border-radius: 9px; pointer-events: none;
  background: #ffffffd9; font-weight: 600; white-space: nowrap; }
.up-label::before { content: ""; display: inline-block; width: 10px; height: 10px; margin-right: 6px; background: var(--up-color); }
.up-tools { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; padding: 6px 8px; background: #ffffff; }
.up-tools :focus-visible { outline: 3px solid #0072b2; outline-offset: 1px; }
.up-captions { padding: 0 10px 8px; background: #ffffff; }
.up-captions:empty { display: none; }
.up-captions p { margin: 4px 0 0; }
.up-help { padding: 0 10px 8px; background: #ffffff; margin: 0; }
/* Gradio gives all that is in it its own buttons, and the color of its dark mode. */
.up-root .up-captions p, .up-root p.up-help, .up-root .up-label, .up-root .up-message { color: #1b2733; }
.up-root .up-tools button, .up-root .up-tools select { min-height: 32px; margin: 0; padding: 2px 10px; font: inherit;
  color: #1b2733; background: #fff; border: 1px solid #7b8794; border-radius: 6px; box-shadow: none; cursor: pointer; }
.up-root .up-tools button[aria-pressed="true"] { color: #fff; background: #1b2733; }
.up-message { position: absolute; inset: 0; display: grid; place-content: center; padding: 16px; text-align: center; }
.up-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
`;
const NO_WEBGL =
  "This browser shows no 3D here: WebGL 2 is missing or switched off. The poses are complete; only their view is missing.";

let panels = 0;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function button(text, title, onclick) {
  return make("button", { type: "button", textContent: text, title, onclick });
}

export class Panel {
  // `actions`: {resetView(), toggleMirror(), save(), choose(joint or null, index)}.
  constructor(element, editable, actions) {
    panels += 1;
    this.canvas = make("canvas", { tabIndex: 0 });
    this.view = make("div", { className: "up-view" }, this.canvas);
    this.captions = make("div", { className: "up-captions" });
    this.help = make("p", { className: "up-help", id: `up-help-${panels}`, hidden: true });
    this.help.textContent = editable ? `${HELP.edit} ${HELP.view}` : HELP.view;
    this.live = make("div", { className: "up-hidden" });
    this.live.setAttribute("aria-live", "polite");
    const helpButton = button("?", "Help", () => this.toggleHelp(helpButton));
    helpButton.setAttribute("aria-label", "Help");
    helpButton.setAttribute("aria-expanded", "false");
    this.tools = make("div", { className: "up-tools" });
    this.tools.setAttribute("role", "toolbar");
    this.tools.setAttribute("aria-label", "3D view");
    if (editable) this.addEditing(actions);
    this.tools.append(
      button("Reset view", "Show everything from the front", actions.resetView),
      button("Save image", "Save a PNG of this view", actions.save),
      helpButton,
    );
    this.root = make(
      "div",
      { className: "up-root" },
      make("style", { textContent: STYLE }),
      this.view,
      this.tools,
      this.help,
      this.captions,
      this.live,
    );
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-roledescription", "3D view");
    this.canvas.setAttribute("aria-describedby", this.help.id);
    this.labels = [];
    element.replaceChildren(this.root);
  }

  addEditing(actions) {
    this.joints = make("select", { title: "Joint to turn" });
    this.joints.setAttribute("aria-label", "Joint to turn");
    this.joints.onchange = () => {
      const [index, joint] = this.joints.value.split(" ").map(Number);
      actions.choose(this.joints.value ? joint : null, index);
    };
    this.mirror = button("Mirror", "Turn the joint of the other side too, as in a mirror", actions.toggleMirror);
    this.setMirror(false);
    this.tools.append(this.joints, this.mirror);
  }

  toggleHelp(helpButton) {
    this.help.hidden = !this.help.hidden;
    helpButton.setAttribute("aria-expanded", String(!this.help.hidden));
  }

  setMirror(on) {
    this.mirror?.setAttribute("aria-pressed", String(on));
  }

  // Names of bodies and descriptions of their poses; `colors` has the color of each body, or null.
  setTexts({ labels, captions, colors }) {
    this.labels.forEach((label) => label.remove());
    this.labels = labels.map((text, index) => {
      const label = make("div", { className: "up-label", textContent: text, hidden: !text });
      label.style.setProperty("--up-color", colors[index] ?? "transparent");
      label.setAttribute("aria-hidden", "true");
      return label;
    });
    this.view.append(...this.labels);
    const lines = captions.map((caption, index) => [labels[index], caption].filter(Boolean).join(": "));
    this.captions.replaceChildren(...lines.filter(Boolean).map((line) => make("p", { textContent: line })));
    const bodies = labels.length === 1 ? "One body" : `${labels.length} bodies side by side`;
    this.canvas.setAttribute("aria-label", [`${bodies} in a 3D view`, ...lines.filter(Boolean)].join(". "));
    this.listJoints(labels);
  }

  listJoints(labels) {
    if (!this.joints) return;
    const options = labels.flatMap((label, index) =>
      JOINTS.map((_, joint) =>
        make("option", {
          value: `${index} ${joint}`,
          textContent: labels.length > 1 ? `${label || `body ${index + 1}`}: ${jointTitle(joint)}` : jointTitle(joint),
        }),
      ),
    );
    this.joints.replaceChildren(make("option", { value: "", textContent: "Choose a joint" }), ...options);
  }

  setChosen(chosen) {
    if (this.joints) this.joints.value = chosen ? `${chosen.index} ${chosen.joint}` : "";
  }

  placeLabel(index, { x, y }) {
    this.labels[index].style.left = `${x}px`;
    this.labels[index].style.top = `${Math.max(y, 24)}px`;
  }

  announce(text) {
    this.live.textContent = text;
  }

  showNoWebGL() {
    this.canvas.hidden = true;
    this.view.append(make("div", { className: "up-message", textContent: NO_WEBGL }));
  }
}
