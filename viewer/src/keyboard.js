// Keys of the focused view: they move the camera, or turn the chosen joint about its own axes.
import { MathUtils, Quaternion, Vector3 } from "three";

const CAMERA_STEP = MathUtils.degToRad(10);
const ZOOM = 1.15;
const JOINT_STEP = MathUtils.degToRad(5);
const FINE_STEP = MathUtils.degToRad(1);

const CAMERA_KEYS = {
  ArrowLeft: [-CAMERA_STEP, 0],
  ArrowRight: [CAMERA_STEP, 0],
  ArrowUp: [0, CAMERA_STEP],
  ArrowDown: [0, -CAMERA_STEP],
};
const JOINT_KEYS = {
  ArrowLeft: new Vector3(0, -1, 0),
  ArrowRight: new Vector3(0, 1, 0),
  ArrowUp: new Vector3(-1, 0, 0),
  ArrowDown: new Vector3(1, 0, 0),
  PageUp: new Vector3(0, 0, 1),
  PageDown: new Vector3(0, 0, -1),
};

export const HELP = {
  view: "Drag turns the view, the wheel or two fingers zoom. Keys: arrows turn the view, + and - zoom, 0 resets it.",
  edit:
    "Drag a dot to turn its joint, or drag one of the rings. Keys: N and P choose the next and the previous joint; then " +
    "arrows, Page Up and Page Down turn it by 5 degrees, with Shift by 1; M mirrors turns; Escape lets go.",
};

// `actions`: {chosen(), turnJoint(quaternion), turnView(x, y, zoom), resetView(), step(by), deselect(), toggleMirror()}.
export function handleKey(event, actions) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const joint = actions.chosen();
  if (joint && event.key in JOINT_KEYS) {
    const angle = event.shiftKey ? FINE_STEP : JOINT_STEP;
    actions.turnJoint(new Quaternion().setFromAxisAngle(JOINT_KEYS[event.key], angle));
  } else if (event.key in CAMERA_KEYS) {
    actions.turnView(...CAMERA_KEYS[event.key], 1);
  } else if ("+=-".includes(event.key)) {
    actions.turnView(0, 0, event.key === "-" ? 1 / ZOOM : ZOOM);
  } else if (event.key === "0") {
    actions.resetView();
  } else if ("nNpP".includes(event.key) && actions.editable) {
    actions.step("nN".includes(event.key) ? 1 : -1);
  } else if ("mM".includes(event.key) && actions.editable) {
    actions.toggleMirror();
  } else if (event.key === "Escape" && joint) {
    actions.deselect();
  } else {
    return;
  }
  event.preventDefault();
}
