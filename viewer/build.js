// Writes the bundle of the package, or to the path that is passed: node build.js [FILE]
import { buildSync } from "esbuild";
import { fileURLToPath } from "node:url";

const inside = (path) => fileURLToPath(new URL(path, import.meta.url));
const LICENSE = "/*! Holds three.js r187, (c) 2010-2026 three.js authors, MIT License: see NOTICE of UniPose (Apache-2.0). */";

buildSync({
  entryPoints: [inside("src/index.js")],
  outfile: process.argv[2] ?? inside("../processing/assets/viewer.js"),
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  // Pages hold the script inline, whatever their encoding.
  charset: "ascii",
  legalComments: "none",
  loader: { ".worker.js": "text" },
  banner: { js: LICENSE },
  absWorkingDir: inside("."),
});
