// Text-to-pose on the visitor's machine: the files of `python -m unipose.training.tools.export_onnx`, run by
// onnxruntime-web. `viewer/vendor_onnxruntime.py` puts this module beside the libraries that it imports.
import * as ort from "./ort.wasm.min.mjs";
import { Tokenizer } from "./tokenizers.min.mjs";

// Pages that are not cross-origin isolated have one thread.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;

async function fetchFile(folder, name) {
  const answer = await fetch(new URL(name, folder));
  if (!answer.ok) throw new Error(`The model could not be loaded: ${answer.status} for ${answer.url}`);
  return answer;
}

// The model of a folder of this site -> an asynchronous function: a description -> Float32Array of 22 rotation
// matrices, row by row, in SMPL's joint order, z up.
export async function loadTextToPose(address) {
  const folder = new URL(address.endsWith("/") ? address : `${address}/`, location.href);
  const [settings, words] = await Promise.all(
    ["prompts.json", "tokenizer.json"].map(async (name) => (await fetchFile(folder, name)).json()),
  );
  const tokenizer = new Tokenizer(words, {});
  const [generate, decode] = await Promise.all(
    ["generate_pose.onnx", "decode_pose.onnx"].map(async (name) =>
      ort.InferenceSession.create(await (await fetchFile(folder, name)).arrayBuffer()),
    ),
  );
  return async (text) => {
    // Without "<" a visitor's text holds no control token.
    const typed = text.replaceAll("<", " ").trim();
    if (!typed) throw new Error("The text is empty: describe a pose");
    const prompt = settings.prompts["text-to-pose"].replace("{text}", () => typed);
    const { ids } = tokenizer.encode(prompt, { add_special_tokens: false });
    const shape = [1, ids.length];
    const { pose_codes } = await generate.run({
      input_ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), shape),
      attention_mask: new ort.Tensor("int64", new BigInt64Array(ids.length).fill(1n), shape),
    });
    return (await decode.run({ pose_codes })).rotmats.data;
  };
}
