// The globals of the bundle; docs/viewer.md describes them.
import { fitPose } from "./photo/fitting.js";
import { fromImage, load, startWebcam } from "./photo/photo.js";
import { mergeMirrored, placeLandmarks } from "./photo/placing.js";
import { Viewer } from "./viewer.js";

window.UniPoseViewer = {
  create(element, options) {
    window.viewer = new Viewer(element, options);
    return window.viewer;
  },
};

window.UniPosePhoto = { fitPose, fromImage, load, mergeMirrored, placeLandmarks, startWebcam };
