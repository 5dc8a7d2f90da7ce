// The global of the bundle; its options and methods are described in docs/viewer.md.
import { Viewer } from "./viewer.js";

window.UniPoseViewer = {
  create(element, options) {
    window.viewer = new Viewer(element, options);
    return window.viewer;
  },
};
